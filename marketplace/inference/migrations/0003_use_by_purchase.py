"""Calls are counted by purchase: a licence id alone may be given twice, by a re-org or a reset of the chain."""

from django.db import migrations, models

import chain.fields


def purchases_fill(apps, schema_editor):
    """What was counted so far belongs to the purchase that the index knows; the rest stays with none."""
    licences = apps.get_model("licences", "Licence").objects.select_related("event")
    known = {licence.licence_id: licence.event.tx_hash for licence in licences.iterator()}
    for name in ("LicenceUse", "CallEntry"):
        model = apps.get_model("inference", name)
        for licence_id in list(model.objects.values_list("licence_id", flat=True).distinct()):
            model.objects.filter(licence_id=licence_id).update(purchase=known.get(licence_id, ""))


class Migration(migrations.Migration):
    dependencies = [
        ("inference", "0002_retry_at_once"),
        ("licences", "0001_initial"),
        ("chain", "0001_initial"),
    ]

    operations = [
        migrations.AddField("licenceuse", "purchase", models.CharField(max_length=66, default=""), False),
        migrations.AddField("callentry", "purchase", models.CharField(max_length=66, default=""), False),
        migrations.RunPython(purchases_fill, migrations.RunPython.noop, elidable=True),
        migrations.AlterField("licenceuse", "licence_id", chain.fields.Uint256Field()),
        migrations.AddConstraint(
            "licenceuse",
            models.UniqueConstraint(fields=["licence_id", "purchase"], name="inference_use_of_purchase"),
        ),
    ]
