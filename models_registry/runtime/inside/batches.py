"""Which rows are computed together. A batch is as wide as its longest row, and padding costs what tokens cost."""

Batch = list[int]  # positions of rows


def in_order(lengths: list[int], *, most_rows: int, most_tokens: int) -> list[Batch]:
    """Rows by length, shortest first, in batches as large as may be; a row that is too long is one by itself."""
    batches: list[Batch] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        rows = len(batches[-1]) + 1 if batches else 0
        if not batches or rows > most_rows or rows * lengths[position] > most_tokens:
            batches.append([])
        batches[-1].append(position)
    return batches


def even(lengths: list[int], *, most_batches: int) -> list[Batch]:
    """Rows by length, longest first, in batches of which the largest is as small as can be."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    few, many = lengths[order[0]], lengths[order[0]] * len(lengths)
    while few < many:
        tokens = (few + many) // 2
        if len(_packed(order, lengths, tokens)) > most_batches:
            few = tokens + 1
        else:
            many = tokens
    return _packed(order, lengths, few)


def size(batch: Batch, lengths: list[int]) -> int:
    """Tokens of a batch, padding included."""
    return len(batch) * max(lengths[position] for position in batch)


def _packed(order: list[int], lengths: list[int], most_tokens: int) -> list[Batch]:
    batches: list[Batch] = []
    width = 0
    for position in order:
        if not batches or width * (len(batches[-1]) + 1) > most_tokens:
            batches.append([])
            width = lengths[position]
        batches[-1].append(position)
    return batches
