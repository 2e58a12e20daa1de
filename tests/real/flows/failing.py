"""A flow that ends in FAILED with a traceback in its logs."""

from prefect import flow, get_run_logger


@flow
def main() -> None:
    get_run_logger().info("about to fail")
    raise ValueError("this flow fails on purpose")
