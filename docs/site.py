"""Hook of mkdocs: what pages link to outside of docs/ (figures of benchmarks, code) becomes pages of the site.

So a link that works where the repository is browsed works in the site, too, and the site needs no other server. Links
to what does not exist stay as they are, and `strict` fails on them.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")
FOLDER = "repository"
"""Where such pages lie in the site."""
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".html": "html"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file outside of docs that a page links to, and what those pages link to."""
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    for page in waiting:
        for target in _targets(page):
            uri = _site_uri(target)
            if not target.startswith("docs/") and files.get_file_from_path(uri) is None:
                files.append(_file(config, uri, target))
                waiting += [target] if target.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links into those of the site."""
    origin = _repository_path(page.file.src_uri)

    def turn(link: re.Match[str]) -> str:
        target = _resolve(origin, link[1])
        if not (ROOT / target).is_file():
            return link[1]
        return posixpath.relpath(_site_uri(target), posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(turn, markdown)


def _targets(page: str) -> list[str]:
    """Files that a page links to, by their paths in the repository."""
    found = [_resolve(page, link) for link in LINK.findall((ROOT / page).read_text(encoding="utf-8"))]
    return [target for target in found if (ROOT / target).is_file()]


def _resolve(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _site_uri(path: str) -> str:
    """Say where a file of the repository lies in the site; code is shown on a page."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{FOLDER}/{path}.md" if Path(path).suffix in LANGUAGES else f"{FOLDER}/{path}"


def _repository_path(uri: str) -> str:
    """Find the file that a page of the site is made of."""
    return uri.removeprefix(f"{FOLDER}/") if uri.startswith(f"{FOLDER}/") else f"docs/{uri}"


def _file(config: MkDocsConfig, uri: str, path: str) -> File:
    """Make a page, or a picture, of a file; code is left out of the search."""
    language = LANGUAGES.get(Path(path).suffix)
    if language is None:
        return File.generated(config, uri, abs_src_path=str(ROOT / path), inclusion=InclusionLevel.NOT_IN_NAV)
    code = (ROOT / path).read_text(encoding="utf-8")
    shown = f"---\nsearch:\n  exclude: true\n---\n# `{path}`\n\n````{language}\n{code}\n````\n"
    return File.generated(config, uri, content=shown, inclusion=InclusionLevel.NOT_IN_NAV)
