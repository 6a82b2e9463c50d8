"""`/v1/`: the API of OpenAI over this site's jobs, for the unmodified `openai` client. See docs/openai.md.

Every call is a job like any other, with its licence, its call in the ledger and its receipt.
"""
