"""``purify review``: look at the faces of a run and decide."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click

from purify.cli.options import answer, images_option
from purify.storage.locations import Location


def _address(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        return str(ipaddress.ip_address("127.0.0.1" if value == "localhost" else value))
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: expected an address in numbers, such as 127.0.0.1") from error


@click.command("review")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@images_option
@click.option("--reviewer", help="Your name in the reviews; default: that of your account.")
@click.option("--host", default="127.0.0.1", show_default=True, callback=_address, help="Address to serve at.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; default: a free one.")
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser.")
def review_command(
    run: Path, images: tuple[Location, ...], reviewer: str | None, host: str, port: int, open_browser: bool
) -> None:
    """Serve a page to accept, reject or relabel the faces of RUN; writes RUN/reviews.parquet as you go."""
    import getpass
    import shlex
    import webbrowser

    from purify.review.web_server import serve_review
    from purify.storage.run_folder import RunFolder

    def ready(url: str) -> None:
        click.echo(f"Review page: {url}\nCtrl-C ends it; every decision is in {RunFolder(run).reviews} at once.")
        if not ipaddress.ip_address(host).is_loopback:
            click.echo("Others can reach this address: whoever has the token can decide.", err=True)
        if open_browser:
            webbrowser.open(url)

    name = reviewer or getpass.getuser()
    reviewed = serve_review(run, host=host, port=port, reviewer=name, ready=ready, images=images)
    folder = RunFolder(run)
    click.echo()
    answer({"reviewed": reviewed, "reviews": str(folder.reviews)}, as_json=False)
    if reviewed:
        words = ("purify", "apply", folder.manifest, "--verdicts", folder.verdicts, "--reviews", folder.reviews)
        click.echo("Next: " + shlex.join(str(word) for word in (*words, "--out", run)))
