"""How long a job waited and ran, in words for its page."""

from datetime import timedelta

from marketplace.inference.models import Job, JobState

_HOUR_S, _MINUTE_S = 3600, 60
# The runner's own seconds (`RunResult.timings`) in the order in which they pass.
_RUNNER = (("wait_s", "In line for the runner"), ("load_s", "Loading the model"), ("run_s", "Computing"))


def job_times(job: Job) -> list[tuple[str, str]]:
    """Names and words: the wait and the run, and what the runner says of the run where it answered."""
    timings = job.timings or {}
    runner = [(name, _runner_words(key, timings[key])) for key, name in _RUNNER if key in timings]
    return [("Waited", _waited(job)), ("Ran", _ran(job)), *runner]


def _waited(job: Job) -> str:
    if job.started_at is None:
        if job.finished_at is None:
            return "it has not begun yet"
        return f"{_length(job.finished_at - job.created_at)}, and did not begin"
    words = _length(job.started_at - job.created_at)
    if job.state == JobState.QUEUED:
        return f"{words} before an attempt that did not end it; it waits again"
    return f"{words}, until attempt {job.attempts} began" if job.attempts > 1 else words


def _ran(job: Job) -> str:
    if job.started_at is None:
        return "it has not begun yet" if job.is_open else "not at all"
    if job.state == JobState.RUNNING:
        return "it is running"
    if job.finished_at is None or not _ended_running(job):
        return "no attempt came to an end"
    return _length(job.finished_at - job.started_at)


def _ended_running(job: Job) -> bool:
    """Whether the last attempt was under way at the end. A job can end while it waits for another one."""
    if job.state == JobState.CANCELLED:
        return bool(job.error and job.error.get("while_running"))
    return job.state != JobState.EXPIRED


def _runner_words(key: str, seconds: float) -> str:
    return "no time: it was loaded" if key == "load_s" and not seconds else _length(timedelta(seconds=seconds))


def _length(span: timedelta) -> str:
    """A length of time with as much detail as somebody reads. Clocks of two machines may make it negative: none."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
