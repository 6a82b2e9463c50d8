"""Who shares a runner: everybody who runs a release, or the jobs of one licence alone.

A buyer may ask for a dedicated runner, job by job. The owner of a model may require one for all jobs of it, and the
operator for all jobs of the site. Two jobs share a runner only if neither is dedicated.
"""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from chain.prepared import Prepared
from marketplace.accounts.models import Account
from marketplace.inference.models import DedicatedModel, Isolation, Job
from models_registry import selectors as registry
from models_registry.errors import ModelNotFoundError


def isolation_of(model_id: int, asked: str) -> str:
    """How a job of the model runs that is accepted now, and asked for this."""
    if asked == Isolation.DEDICATED or is_always_dedicated(model_id):
        return Isolation.DEDICATED
    return Isolation.SHARED


def is_always_dedicated(model_id: int) -> bool:
    """Whether the model's jobs run in dedicated runners, asked for or not."""
    return settings.RUNNER_DEDICATED or is_required(model_id)


def is_required(model_id: int) -> bool:
    """Whether the model's owner wants its jobs to run in dedicated runners alone."""
    return _required.first(model_id=model_id) is not None


def isolation_require(*, account: Account, model_id: int, required: bool) -> None:
    """Say so, as the owner. What was accepted before stays as it is. Raises ModelNotFoundError, to others too."""
    if registry.model_owner(model_id).lower() != account.address.lower():
        raise ModelNotFoundError(f"This account owns no model {model_id}.")
    if required:
        DedicatedModel.objects.get_or_create(model_id=model_id)
    else:
        DedicatedModel.objects.filter(model_id=model_id).delete()


def runner_owner(job: Job) -> str:
    """Whose alone the job's runner is. Empty: everybody's.

    It is the account's under its licence, if any: a licence can get another holder, and its number another purchase.
    A worker of a site where all runners are dedicated heeds that for jobs that were accepted before too.
    """
    if job.isolation != Isolation.DEDICATED and not settings.RUNNER_DEDICATED:
        return ""
    return f"account {job.account_id}" + ("" if job.licence_id is None else f", licence {job.licence_id}")


@Prepared
def _required(model_id: Any) -> QuerySet[DedicatedModel, tuple[int]]:
    return DedicatedModel.objects.filter(model_id=model_id).values_list("pk")
