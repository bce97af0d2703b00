"""What Airflow parses: one DAG per contract of every home in ``ZHIXIN_HOMES``."""

from zhixin_gateway.airflow import dags

globals().update(dags())
