#!/usr/bin/env python3
"""Run a model that you hold a licence of, and print what it answers.

    export WEIGHHOUSE_API_KEY=wh_...            # from the page "API keys", scope `run`
    python examples/run_model.py 1 "A weigh house certified goods." --site http://127.0.0.1:8000

Needs `pip install weighhouse`. Several texts are sent as one job. The job has an idempotency key, so that repeating the
call after a broken connection does not count twice.
"""

import argparse
import json
import os
import sys
import uuid

from weighhouse.client import Client
from weighhouse.core.errors import WeighhouseError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=int)
    parser.add_argument("text", nargs="+")
    parser.add_argument("--site", required=True)
    parser.add_argument("--parameters", type=json.loads, default={}, help='JSON, such as {"max_new_tokens": 32}')
    arguments = parser.parse_args()
    try:
        with Client(arguments.site, os.environ.get("WEIGHHOUSE_API_KEY", "")) as client:
            job = client.job_run(
                arguments.model,
                arguments.text,
                parameters=arguments.parameters,
                idempotency_key=str(uuid.uuid4()),
            )
    except WeighhouseError as error:
        print(f"{error.message} [{error.code}]", file=sys.stderr)
        return 1
    if job["state"] != "succeeded":
        print(f"The job {job['state']}: {(job['error'] or {}).get('message', '')}", file=sys.stderr)
        return 1
    print(json.dumps(job["outputs"], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
