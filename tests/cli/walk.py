"""What every command is given in the walk: one right call, and what can be wrong with each of its arguments.

Words in braces stand for what the fixture `place` makes: {folder}, {queued} (a job), {stranger} (an id that was never
issued), {webhook}, {delivery}, and names of files.
"""

from dataclasses import dataclass, field
from enum import Enum

NOT_AN_ID = "is not the id of a job"


class Reads(Enum):
    """What --json prints."""

    DOCUMENT = "document"
    LINES = "lines"  # an object a line


@dataclass(frozen=True)
class Wrong:
    arguments: str
    code: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    right: str
    wrong: dict[str, list[Wrong]] = field(default_factory=dict)  # by metavar of the argument or name of the option
    reads: Reads | None = None
    right_code: int = 0


def wrong(arguments, code, *words):
    return Wrong(arguments, code, words)


def number(before, option, *bad):
    return [wrong(f"{before} {option} {text}", 2, f"'{option}'", f"'{text}'") for text in ("many", *bad)]


def model(before, after=""):
    return [wrong(f"{before} nobody {after}", 4, "'nobody'", "sums"), wrong(f"{before} '' {after}", 4, "''")]


def job(before, after=""):
    return [
        wrong(f"{before} 17 {after}", 4, "'17'", NOT_AN_ID, "UUID"),
        wrong(f"{before} {{stranger}} {after}", 4, "{stranger}", "INFERQ_STORE_URL"),
    ]


def unreadable(before, kind, prefix="{folder}/"):
    """A file that is missing, one that is a folder, one of any bytes, one of none."""
    return [
        wrong(f"{before} {prefix}missing.{kind}", 2, f"missing.{kind}", "No such file"),
        wrong(f"{before} {prefix}folder.{kind}", 2, f"folder.{kind}", "Is a directory"),
        wrong(f"{before} {prefix}bytes.{kind}", 2, f"bytes.{kind}"),
        wrong(f"{before} {prefix}empty.{kind}", 2, f"empty.{kind}"),
    ]


def webhook():
    return [wrong("4f1c09d2ab37", 4, "'4f1c09d2ab37'", "webhooks list"), wrong("''", 4, "''", "webhooks list")]


ROW = "--row '[1, 2]'"
FILE = "sums --file {folder}/rows.csv"
WAIT = [
    wrong("{before} --wait soon", 2, "'--wait'", "'soon'", "number"),
    wrong("{before} --wait -1", 2, "'--wait'", "'-1'"),
    wrong("{before} --wait nan", 2, "'--wait'", "'nan'"),
]


def wait(before):
    return [Wrong(case.arguments.replace("{before}", before), case.code, case.words) for case in WAIT]


def settings(before):
    return {
        "--queue": [
            wrong(f"{before} --queue 'a b'", 2, "'a b'", "letters"),
            wrong(f"{before} --queue ''", 2, "''"),
        ],
        "--max-batch-rows": [
            *number(before, "--max-batch-rows", "1.5"),
            wrong(f"{before} --max-batch-rows 0", 2, "max_batch_rows=0", "at least 1"),
            wrong(f"{before} --max-batch-rows 99999999999", 2, "max_batch_rows=99999999999"),
        ],
        "--time-limit": [
            *number(before, "--time-limit"),
            wrong(f"{before} --time-limit 0", 2, "time_limit=0", "more than 0"),
            wrong(f"{before} --time-limit nan", 2, "time_limit=nan"),
            wrong(f"{before} --time-limit 86401", 2, "time_limit=86401", "86400"),
        ],
        "--latency-target": [
            *number(before, "--latency-target"),
            wrong(f"{before} --latency-target 0", 2, "latency_target=0", "more than 0"),
            wrong(f"{before} --latency-target nan", 2, "latency_target=nan"),
        ],
        "--max-backlog": [
            *number(before, "--max-backlog", "1.5"),
            wrong(f"{before} --max-backlog 0", 2, "max_backlog=0", "at least 1"),
        ],
    }


COMMANDS = {
    "demo": Entry(
        "",
        {
            "--out": [
                wrong("--out {folder}", 2, "{folder}", "Is a directory"),
                wrong("--out {folder}/no/such/file", 2, "no/such/file", "No such file"),
            ]
        },
    ),
    "up": Entry(""),
    "doctor": Entry("", reads=Reads.DOCUMENT),
    "worker": Entry(
        "",
        {
            "--name": [wrong("--name 'a b'", 2, "'a b'", "letters"), wrong("--name ''", 2, "''")],
            "--autoscale": [
                wrong(f"--autoscale '{text}'", 2, f"'{text}'", "8,1")
                for text in ("", "4", "1,4", "4,0", "a,b", "4,2,1", "4.5,1")
            ],
        },
    ),
    "keeper": Entry(""),
    "deliverer": Entry(""),
    "flower": Entry(""),
    "gateway": Entry(
        "--port 0",
        {
            "--host": [
                wrong("--host 0.0.0.0", 2, "'0.0.0.0'", "keys create"),
                wrong("--host ::", 2, "'::'", "loopback"),
                wrong("--host ''", 2, "''", "--host"),
                wrong("--host 'no such host'", 2, "'no such host'", "--host"),
                wrong("--host 192.0.2.1", 2, "'192.0.2.1'", "loopback"),
            ],
            "--port": number("", "--port", "-1", "65536", "1.5"),
        },
    ),
    "submit": Entry(
        f"sums {ROW}",
        {
            "MODEL": [wrong(f"nobody {ROW}", 4, "'nobody'", "sums"), wrong(f"'' {ROW}", 2, "''", "name")],
            "--row": [
                wrong("sums --row '[1, 2'", 2, "'[1, 2'", "not JSON"),
                wrong("sums --row ''", 2, "''", "not JSON"),
                wrong("sums --row NaN", 2, "'NaN'", "not JSON"),
                wrong("sums --row '[1]'", 2, "expected 2 features, got 1"),
                wrong("""sums --row '[1, "x"]'""", 2, "'x'", "number"),
                wrong(f"{FILE} {ROW}", 2, "--row", "--file"),
                wrong("sums", 2, "--row", "--file"),
            ],
            "--file": [
                *unreadable("sums --file", "csv"),
                *unreadable("sums --file", "ndjson"),
                *unreadable("sums --file", "parquet"),
                wrong("sums --file {folder}/rows.xls", 2, "rows.xls", ".csv"),
                wrong("sums --file {folder}/torn.csv", 2, "torn.csv, line 2", "'x'"),
            ],
            "--out": [
                wrong(f"{FILE} --out {{folder}}", 2, "{folder}", "Is a directory"),
                wrong(f"{FILE} --out {{folder}}/no/such", 2, "no/such", "No such file"),
                wrong(f"{FILE} --out {{folder}}/bytes.csv", 2, "bytes.csv", "line 1", "new name"),
                wrong(f"sums {ROW} --out {{folder}}/x", 2, "--out", "--file"),
            ],
            "--run": [
                wrong(f"{FILE} --run ''", 2, "''", "name"),
                wrong(f"sums {ROW} --run again", 2, "--run", "--file"),
            ],
            "--version": [
                wrong(f"sums {ROW} --version 9", 4, "'9'", "it has: 1, champion"),
                wrong(f"sums {ROW} --version ghost", 4, "'ghost'", "it has: 1, champion"),
                wrong(f"sums {ROW} --version ''", 2, "''", "alias"),
            ],
            "--method": [
                wrong(f"sums {ROW} --method guess", 2, "'guess'", "predict_proba"),
                wrong(f"sums {ROW} --method transform", 2, "'transform'", "predict, predict_proba"),
            ],
            "--priority": [wrong(f"sums {ROW} --priority urgent", 2, "'urgent'", "interactive")],
            "--wait": wait(f"sums {ROW}"),
        },
        reads=Reads.LINES,
    ),
    "result": Entry("{queued}", {"ID": job(""), "--wait": wait("{queued}")}, reads=Reads.DOCUMENT, right_code=5),
    "jobs list": Entry(
        "",
        {
            "--model": model("--model"),
            "--state": [wrong("--state lost", 2, "'lost'", "queued", "cancelled")],
            "--since": [
                wrong(f"--since '{text}'", 2, f"'{text}'", "2h", "2026-01-31T12:00")
                for text in ("yesterday", "", "-3h", "3 years", "2026-13-01", "25:00")
            ],
            "--before": job("--before")[:1],
            "--limit": number("", "--limit", "0", "1.5", "10001", "9" * 40),
        },
        reads=Reads.LINES,
    ),
    "jobs show": Entry("{queued}", {"ID": job("")}, reads=Reads.DOCUMENT),
    "jobs cancel": Entry("{queued}", {"ID": [*job(""), *job("{queued}")]}, reads=Reads.LINES),
    "jobs retry": Entry(
        "--state failed",
        {
            "ID": [
                *job(""),
                wrong("{queued}", 5, "{queued}", "still queued"),
                wrong("", 2, "ids", "--state"),
                wrong("{queued} --state failed", 2, "ids", "--state"),
            ],
            "--state": [
                wrong("--state lost", 2, "'lost'", "cancelled"),
                wrong("--state queued", 2, "queued", "failed, expired"),
            ],
            "--code": [
                wrong("--state failed --code bad_luck", 2, "'bad_luck'", "worker_lost"),
                wrong("{queued} --code worker_lost", 2, "--code", "--state"),
            ],
            "--model": model("--state failed --model"),
            "--since": [
                wrong(f"--state failed --since '{text}'", 2, f"'{text}'", "2h") for text in ("yesterday", "", "-3h")
            ],
        },
        reads=Reads.LINES,
    ),
    "logs": Entry(
        "",
        {
            "--model": model("--model"),
            "--job": [wrong("--job 17", 4, "'17'"), job("--job")[1]],
            "--level": [wrong("--level loud", 2, "'loud'", "'info', 'warning', 'error'")],
            "--limit": number("", "--limit", "0", "1.5", "10001", "9" * 40),
        },
        reads=Reads.LINES,
    ),
    "feedback add": Entry(
        "{queued} 7",
        {
            "ID": job("", "7"),
            "VALUE": [
                wrong("{queued} ''", 2, "''", "JSON"),
                wrong("{queued} NaN", 2, "'NaN'", "finite"),
                wrong("{queued} -inf", 2, "'-inf'", "finite"),
            ],
        },
    ),
    "feedback import": Entry(
        "{folder}/truth.csv",
        {
            "FILE": [
                *unreadable("", "csv"),
                wrong("{folder}/rows.csv", 2, "rows.csv", "'id'", "--id-column"),
            ],
            "--id-column": [wrong("{folder}/truth.csv --id-column job", 2, "'job'", "id, value", "--id-column")],
            "--value-column": [wrong("{folder}/truth.csv --value-column ''", 2, "''", "id, value", "--value-column")],
        },
    ),
    "models register": Entry(
        "mean {folder}/mean.skops",
        {
            "MODEL": [
                wrong("'a b' {folder}/mean.skops", 2, "'a b'", "letter"),
                wrong("'' {folder}/mean.skops", 2, "''", "letter"),
            ],
            "FILE": [
                *unreadable("mean", "skops"),
                wrong("mean {folder}/rows.csv", 2, "rows.csv", ".skops"),
                wrong("mean {folder}/bytes.pkl", 2, "bytes.pkl", "--trust-pickle"),
                wrong("mean {folder}/bytes.pkl --trust-pickle", 2, "bytes.pkl"),
            ],
            "--sample": unreadable("mean {folder}/mean.skops --sample", "csv"),
            "--runtime": [wrong("mean {folder}/mean.skops --runtime gpu", 2, "'gpu'", "onnx")],
            "--trust-type": [wrong("mean {folder}/bytes.skops --trust-type os.system", 2, "bytes.skops")],
            **settings("mean {folder}/mean.skops"),
        },
    ),
    "models list": Entry("", reads=Reads.DOCUMENT),
    "models show": Entry("sums", {"MODEL": model("")}, reads=Reads.DOCUMENT),
    "models alias": Entry(
        "sums challenger 1",
        {
            "MODEL": model("", "challenger 1"),
            "ALIAS": [
                wrong("sums 7 1", 2, "'7'", "letter"),
                wrong("sums 'a b' 1", 2, "'a b'", "letter"),
                wrong("sums ghost --remove", 4, "'ghost'", "it has: 1, champion"),
                wrong("sums champion --remove", 2, "'champion'", "another version"),
            ],
            "VERSION": [
                wrong("sums challenger 9", 4, "'9'", "it has: 1, champion"),
                wrong("sums challenger ghost", 4, "'ghost'", "it has: 1, champion"),
                wrong("sums challenger", 2, "VERSION", "--remove"),
                wrong("sums challenger 1 --remove", 2, "VERSION", "--remove"),
            ],
        },
    ),
    "models settings": Entry(
        "sums",
        {
            "MODEL": model(""),
            "--default": [
                wrong("sums --default colour", 2, "'colour'", "time_limit"),
                wrong("sums --queue heavy --default queue", 2, "heavy", "--default"),
            ],
            **settings("sums"),
        },
        reads=Reads.DOCUMENT,
    ),
    "models rollout": Entry(
        "sums",
        {
            "MODEL": model(""),
            "VERSION": [
                wrong("sums 99 --weight 5", 4, "'99'", "'sums'"),
                wrong("sums ghost --weight 5", 4, "'ghost'", "'sums'"),
                wrong("sums 1 --weight 5", 2, "version 1", "itself"),
            ],
            "--weight": [
                *number("sums 1", "--weight"),
                wrong("sums 1 --weight 1001", 2, "1001", "1000"),
                wrong("sums --weight 5", 2, "'sums'", "VERSION"),
            ],
        },
        reads=Reads.DOCUMENT,
    ),
    "keys create": Entry(
        "shop",
        {
            "NAME": [wrong("''", 2, "''", "name")],
            "--scope": [wrong("shop --scope fly", 2, "'fly'", "feedback")],
            "--model": [wrong("shop --model ''", 2, "''", "--model")],
            "--rate": [
                wrong("shop --rate fast", 2, "'fast'", "100/s"),
                wrong("shop --rate 0/s", 2, "'0/s'", "100/s"),
                wrong("shop --rate ''", 2, "''", "100/s"),
            ],
            "--burst": [
                *number("shop --rate 9/s", "--burst"),
                wrong("shop --rate 9/s --burst 0", 2, "0", "burst"),
                wrong("shop --burst 9", 2, "9", "--rate"),
            ],
        },
    ),
    "keys list": Entry("", reads=Reads.DOCUMENT),
    "keys revoke": Entry(
        "{key}", {"ID": [wrong("4f1c09d2ab37", 4, "'4f1c09d2ab37'", "keys list"), wrong("''", 4, "''", "keys list")]}
    ),
    "webhooks create": Entry(
        "sums https://example.com/hook",
        {
            "MODEL": [
                wrong("nobody https://example.com/hook", 4, "'nobody'"),
                wrong("'' https://example.com/hook", 4, "''"),
            ],
            "URL": [
                wrong("sums ''", 2, "webhook.url"),
                wrong("sums ftp://example.com/hook", 2, "https://"),
                wrong("sums http://example.com/hook", 2, "INFERQ_WEBHOOK_ALLOW"),
                wrong("sums https://127.0.0.1/hook", 2, "INFERQ_WEBHOOK_ALLOW"),
            ],
            "--state": [wrong("sums https://example.com/hook --state running", 2, "'running'", "succeeded")],
        },
    ),
    "webhooks list": Entry("", {"--model": model("--model")}, reads=Reads.DOCUMENT),
    "webhooks delete": Entry("{webhook}", {"ID": webhook()}),
    "webhooks enable": Entry("{webhook}", {"ID": webhook()}),
    "webhooks rotate": Entry("{webhook}", {"ID": webhook()}),
    "webhooks secret": Entry(""),
    "webhooks deliveries": Entry(
        "",
        {
            "--state": [wrong("--state gone", 2, "'gone'", "failed")],
            "--limit": number("", "--limit", "0", "1001"),
        },
        reads=Reads.DOCUMENT,
    ),
    "webhooks replay": Entry(
        "{delivery}",
        {"ID": [wrong("17", 4, "'17'", "purged"), wrong("{stranger}", 4, "{stranger}"), wrong("''", 4, "''")]},
    ),
    "db upgrade": Entry(""),
    "db check": Entry("", reads=Reads.DOCUMENT),
    "db roles": Entry(""),
    "db stats": Entry("", reads=Reads.DOCUMENT),
    "db purge": Entry(
        "--older-than 30d",
        {
            "--older-than": [
                wrong("", 2, "--older-than", "INFERQ_RETENTION_DAYS"),
                *(
                    wrong(f"--older-than '{text}'", 2, f"'{text}'", "30d")
                    for text in ("", "30", "-3d", "yesterday", "3 years", "2026-01-31")
                ),
            ]
        },
        reads=Reads.DOCUMENT,
    ),
}
# They end by a signal, or take long: the walk gives them what is wrong only.
STAYING = ("demo", "up", "worker", "keeper", "deliverer", "flower", "gateway")
# They become another program before they look at store and broker.
OTHER_PROCESS = ("worker", "keeper", "deliverer", "flower")
