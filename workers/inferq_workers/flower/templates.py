"""Flower's templates, ours beside them, and a way to our page in Flower's navigation."""

from __future__ import annotations

from pathlib import Path

from tornado.template import Loader, Template

FOLDER = Path(__file__).parent / "pages"
NAVIGATION = "navbar.html"
# Ends the first list of the navigation, that of the pages.
_END_OF_PAGES = "</ul>"
_OUR_PAGE = """\
        <li class="nav-item">
          <a class="nav-link{% if active_tab == 'inferq' %} active{% end %}"
            href="{{ reverse_url('inferq') }}"
            {% if active_tab == 'inferq' %}aria-current="page"{% end %}>inferq</a>
        </li>
      """


class Templates(Loader):
    """Our file of a name, else Flower's. The navigation is Flower's own with one entry more, so it stays up to date."""

    def __init__(self, flower_folder: str) -> None:
        super().__init__(flower_folder)

    def _create_template(self, name: str) -> Template:
        ours = FOLDER / name
        path = ours if ours.is_file() else Path(self.root, name)
        text = path.read_text(encoding="utf-8")
        if name == NAVIGATION:
            text = text.replace(_END_OF_PAGES, _OUR_PAGE + _END_OF_PAGES, 1)
        return Template(text, name=name, loader=self)
