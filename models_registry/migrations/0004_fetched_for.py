"""The limit of waiting fetches is counted by whom a fetch is for, and no longer by all who announced the digest."""

from django.db import migrations, models
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Coalesce


def fetches_fill(apps, schema_editor):
    """What only the chain named was fetched for whoever announced it first."""
    announced = apps.get_model("models_registry", "PublishedRelease").objects.filter(digest=OuterRef("digest"))
    first = Subquery(announced.order_by("event_id").values("publisher")[:1])
    releases = apps.get_model("models_registry", "Release").objects.filter(publisher="")
    releases.update(fetched_for=Coalesce(first, Value("")))


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0003_lineage")]

    operations = [
        migrations.AddField("release", "fetched_for", models.CharField(blank=True, max_length=42)),
        migrations.AddIndex(
            "release", models.Index(fields=["fetched_for", "state"], name="registry_release_fetched_for")
        ),
        migrations.RunPython(fetches_fill, migrations.RunPython.noop, elidable=True),
    ]
