"""A flow with two tasks and a subflow, which has a task of its own; prints count as logs."""

from prefect import flow, get_run_logger, task


@task
def work(name: str) -> None:
    get_run_logger().info("task %s at work", name)


@flow(log_prints=True)
def child() -> None:
    print("the child speaks")
    work("of the child")


@flow(log_prints=True)
def main() -> None:
    print("the parent speaks")
    work("one")
    work("two")
    child()
