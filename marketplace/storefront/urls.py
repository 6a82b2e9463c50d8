"""The pages of the site."""

from django.urls import path, register_converter

from marketplace.licences.api.parts import AddressConverter
from marketplace.storefront.converters import DigestConverter, Uint256Converter
from marketplace.storefront.views import (
    activity,
    api_page,
    demo,
    jobs,
    keys,
    licences,
    mine,
    models,
    operators,
    orders,
    publish,
    session,
    status,
    webhooks,
)

register_converter(Uint256Converter, "uint256")
register_converter(DigestConverter, "digest")
register_converter(AddressConverter, "account")

urlpatterns = [
    path("", models.model_list, name="model-list"),
    path("models/<uint256:model_id>/", models.model_page, name="model"),
    path("models/<uint256:model_id>/run/", jobs.run, name="run"),
    path("models/<uint256:model_id>/run/quote/", jobs.run_quote, name="run-quote"),
    path("models/<uint256:model_id>/trials/", mine.model_trials, name="model-trials"),
    path("models/<uint256:model_id>/isolation/", mine.model_isolation, name="model-isolation"),
    path("models/<uint256:model_id>/activity/", activity.model_activity, name="model-activity"),
    path("activity/", activity.market_activity, name="activity"),
    path("accounts/<account:address>/", activity.account_page, name="account"),
    path("licences/", mine.my_licences, name="licences"),
    path("licences/<uint256:licence_id>/", licences.licence_page, name="licence"),
    path("licences/<uint256:licence_id>/refund/", licences.licence_refund, name="licence-refund"),
    path("licences/<uint256:licence_id>/cancel/", licences.licence_cancel, name="licence-cancel"),
    path("operators/", operators.operators, name="operators"),
    path("operators/<uint256:operator_id>/", operators.operator_page, name="operator"),
    path("orders/<uuid:order_id>/state/", orders.order_state, name="order-state"),
    path("jobs/", jobs.jobs, name="jobs"),
    path("jobs/<uuid:job_id>/", jobs.job_page, name="job"),
    path("jobs/<uuid:job_id>/state/", jobs.job_state, name="job-state"),
    path("jobs/<uuid:job_id>/cancel/", jobs.job_cancel, name="job-cancel"),
    path("jobs/<uuid:job_id>/retry/", jobs.job_retry, name="job-retry"),
    path("jobs/<uuid:job_id>/delete/", jobs.job_payload_delete, name="job-payload-delete"),
    path("publish/", publish.publish, name="publish"),
    path("publish/<digest:digest>/", publish.release_page, name="release"),
    path("publish/<digest:digest>/state/", publish.release_state, name="release-state"),
    path("my/models/", mine.my_models, name="my-models"),
    path("keys/", keys.keys, name="keys"),
    path("keys/<slug:prefix>/revoke/", keys.key_revoke, name="key-revoke"),
    path("webhooks/", webhooks.webhooks, name="webhooks"),
    path("webhooks/<uuid:endpoint_id>/", webhooks.webhook_page, name="webhook"),
    path("webhooks/<uuid:endpoint_id>/switch/", webhooks.webhook_switch, name="webhook-switch"),
    path("webhooks/<uuid:endpoint_id>/secret/", webhooks.webhook_secret, name="webhook-secret"),
    path("webhooks/<uuid:endpoint_id>/delete/", webhooks.webhook_delete, name="webhook-delete"),
    path("webhooks/<uuid:endpoint_id>/<slug:event_id>/resend/", webhooks.webhook_resend, name="webhook-resend"),
    path("sign-in/", session.sign_in, name="sign-in"),
    path("sign-out/", session.sign_out, name="sign-out"),
    path("status", status.chain_status, name="chain-status"),
    path("status/", status.chain_status, name="chain-status-slash"),
    path("api/", api_page.api_page, name="api-page"),
    path("demo/wallet", demo.demo_wallet, name="demo-wallet"),
]
