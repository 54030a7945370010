"""``purify review``: a page for decisions on the faces of a run."""

from __future__ import annotations

import ipaddress
import shlex
from pathlib import Path

import click

from purify.cli.answers import answer
from purify.cli.command import command
from purify.cli.options import images_option
from purify.storage.locations import Location


def _address(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        return str(ipaddress.ip_address("127.0.0.1" if value == "localhost" else value))
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: expected an address in numbers, such as 127.0.0.1") from error


@command("review", example="purify review run --images faces/ --open")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@images_option
@click.option("--reviewer", help="Your name in the reviews; default: that of your account.")
@click.option("--host", default="127.0.0.1", show_default=True, callback=_address, help="Address to serve at.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; default: a free one.")
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--import",
    "given",
    type=click.Path(exists=True, path_type=Path),
    help="Take over the reviews of a Label Studio or FiftyOne export, or a reviews.parquet, and serve nothing.",
)
def review_command(
    run: Path,
    images: tuple[Location, ...],
    reviewer: str | None,
    host: str,
    port: int,
    open_browser: bool,
    given: Path | None,
) -> None:
    """Serve a page to accept, reject or relabel the faces of RUN.

    Each decision is saved to RUN/reviews.parquet at once. --images shows the faces of a run made without them.
    """
    if given is not None:
        _import(run, given)
        return
    import getpass
    import webbrowser

    from purify.review.web_server import serve_review
    from purify.storage.run_folder import RunFolder

    folder = RunFolder(run)

    def ready(url: str) -> None:
        click.echo(f"Review page: {url}\nCtrl-C ends it; every decision is in {folder.reviews} at once.")
        if not ipaddress.ip_address(host).is_loopback:
            click.echo("Others can reach this address: anyone with the token can decide.", err=True)
        if open_browser:
            webbrowser.open(url)

    name = reviewer or getpass.getuser()
    reviewed = serve_review(run, host=host, port=port, reviewer=name, ready=ready, images=images)
    click.echo()
    answer({"reviewed": reviewed, "reviews": str(folder.reviews)}, as_json=False)
    if reviewed:
        click.echo(f"Next: purify apply {shlex.quote(str(run))}")


def _import(run: Path, given: Path) -> None:
    from purify.review.review_imports import import_reviews

    answer({**import_reviews(run, given), "reviews": str(run / "reviews.parquet")}, as_json=False)
    click.echo(f"Next: purify apply {shlex.quote(str(run))}")
