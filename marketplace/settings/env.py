"""The one reader of the environment.

Every name starts with `WEIGHHOUSE_`. A secret may be given as a value or, with the suffix `_FILE`,
as the path of a file that holds it. A `.env` file in the working directory is read first.
"""

from environs import FileAwareEnv

env = FileAwareEnv(prefix="WEIGHHOUSE_")
env.read_env(recurse=False)
