"""Whether the database says what the chain says, found out without the code that wrote the database.

`registry` is the table that the apps fill in `AppConfig.ready()`; `run.audit_run` works through it at one block.
docs/indexer.md says what an audit proves.
"""
