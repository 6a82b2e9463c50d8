"""The sample models that a new site lists: how they are made, checked and described."""
