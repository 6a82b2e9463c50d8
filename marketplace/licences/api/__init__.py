"""The API's views of plans, licences, income and operators."""
