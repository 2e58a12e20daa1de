"""One flow that logs three lines."""

from prefect import flow, get_run_logger


@flow
def main() -> None:
    logger = get_run_logger()
    logger.info("hello")
    logger.warning("mind the gap")
    logger.info("good bye")
