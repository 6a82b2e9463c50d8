"""Receipts, the worker keys that sign them, and the batches in which they are anchored."""

import chain.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0004_entitlement'),
    ]

    operations = [
        migrations.CreateModel(
            name='WorkerKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.CharField(max_length=42, unique=True)),
                ('secret', models.BinaryField(null=True)),
                ('chain_id', models.PositiveBigIntegerField()),
                ('market', models.CharField(max_length=42)),
                ('receipt_anchor', models.CharField(max_length=42)),
                ('operator_id', chain.fields.Uint256Field()),
                ('operator_key', models.CharField(max_length=42)),
                ('valid_from', models.DateTimeField()),
                ('valid_until', models.DateTimeField()),
                ('delegation_signature', models.CharField(max_length=132)),
                ('retired_at', models.DateTimeField(null=True)),
                ('revoked_at', models.DateTimeField(null=True)),
                ('revocation_signature', models.CharField(blank=True, max_length=132)),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='ReceiptBatch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('chain_id', models.PositiveBigIntegerField()),
                ('receipt_anchor', models.CharField(max_length=42)),
                ('operator_id', chain.fields.Uint256Field()),
                ('root', models.CharField(max_length=66)),
                ('leaves', models.BinaryField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('anchored_at', models.DateTimeField(null=True)),
                ('is_final', models.BooleanField(default=False)),
            ],
            options={
                'verbose_name_plural': 'receipt batches',
                'indexes': [models.Index(condition=models.Q(('is_final', False)), fields=['id'], name='inference_batch_open')],
                'constraints': [models.UniqueConstraint(fields=('chain_id', 'receipt_anchor', 'operator_id', 'root'), name='inference_batch_root')],
            },
        ),
        migrations.CreateModel(
            name='Receipt',
            fields=[
                ('job', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='receipt', serialize=False, to='inference.job')),
                ('input_hash', models.CharField(max_length=66)),
                ('input_salt', models.BinaryField(null=True)),
                ('output_hash', models.CharField(blank=True, max_length=66)),
                ('output_salt', models.BinaryField(null=True)),
                ('acceptance', models.JSONField(null=True)),
                ('document', models.JSONField(null=True)),
                ('digest', models.CharField(blank=True, max_length=66)),
                ('issued_at', models.DateTimeField(null=True)),
                ('batch', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='receipts', to='inference.receiptbatch')),
                ('key', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='inference.workerkey')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('digest', '')), fields=['job'], name='inference_receipt_due'), models.Index(condition=models.Q(('batch', None), models.Q(('digest', ''), _negated=True)), fields=['issued_at'], name='inference_receipt_loose')],
            },
        ),
    ]
