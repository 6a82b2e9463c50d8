"""What workers sign about jobs: acceptances and receipts, the keys that sign them, the batches that are anchored."""
