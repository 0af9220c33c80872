"""`croissant.json`: a data set in the words of Croissant 1.0 (MLCommons, 2024), as JSON-LD.

Every file with its hash, and the columns of the table that lists what is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pandas as pd

from knowncircuits.leaderboard.hub.manifest import Entry

SPECIFICATION = "http://mlcommons.org/croissant/1.0"
# The standard's context: which of its words is which.
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
FORMATS = {".csv": "text/csv", ".json": "application/json"}


def croissant_text(
    name: str,
    description: str,
    files: Mapping[str, Entry],
    index: pd.DataFrame,
    *,
    index_file: str,
    url: str,
    version: str,
    license: str,  # noqa: A002
    date: str,
) -> str:
    """The document.

    Args:
        name: of the data set.
        description: what it is.
        files: all of them, the table's too.
        index: the table that lists what is there.
        index_file: its file, among these.
        url: where the data set is.
        version: of the data set.
        license: its identifier in SPDX's list.
        date: of publication, as YYYY-MM-DD.
    """
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": SPECIFICATION,
        "name": name,
        "description": description,
        "url": url,
        "version": version,
        "license": f"https://spdx.org/licenses/{license}",
        "datePublished": date,
        "citeAs": f"knowncircuits {version}",
        "distribution": [_file(path, entry) for path, entry in sorted(files.items())],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "index",
                "name": "index",
                "field": [_field(str(column), index, index_file) for column in index],
            }
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _file(path: str, entry: Entry) -> dict[str, str]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{entry.size} B",
        "encodingFormat": FORMATS["." + path.rpartition(".")[2]],
        "sha256": entry.sha256,
    }


def _field(column: str, index: pd.DataFrame, index_file: str) -> dict[str, object]:
    kind = index[column].dtype.kind
    return {
        "@type": "cr:Field",
        "@id": f"index/{column}",
        "name": column,
        "dataType": {"i": "sc:Integer", "f": "sc:Float", "b": "sc:Boolean"}.get(kind, "sc:Text"),
        "source": {"fileObject": {"@id": index_file}, "extract": {"column": column}},
    }
