"""`/v1/`."""

from django.urls import path, re_path

from marketplace.inference.openai_api import views

urlpatterns = [
    path("models", views.ModelListView.as_view(), name="openai-models"),
    path("models/<str:name>", views.ModelView.as_view(), name="openai-model"),
    path("embeddings", views.EmbeddingsView.as_view(), name="openai-embeddings"),
    path("completions", views.CompletionsView.as_view(), name="openai-completions"),
    path("chat/completions", views.ChatCompletionsView.as_view(), name="openai-chat-completions"),
    re_path(r"^.*\Z", views.NothingHereView.as_view(), name="openai-nothing"),
]
