"""Stage ``benchmark_texts``: the questions and answers of suites, for corpus stages to look for (``corpus.overlap``).

Of each test document: the question as its data set has it, without exemplars, options or the passage that it is about
where that has a column of its own; and the answer, worked out where the data set does so, else the right choice. Tasks
that ask the same text share it. Questions of the same suites in other words are not found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from rho1bench.corpus.decontamination import BenchmarkText, write_benchmark_texts
from rho1bench.errors import RunError
from rho1bench.evaluation.harness.lm_eval_tasks import Tasks
from rho1bench.evaluation.harness.lm_eval_types import Doc, EvalTask
from rho1bench.evaluation.tasks.gold_answers import first_answer, worked_solution
from rho1bench.evaluation.tasks.prompts import ASK_FOR_OPTION
from rho1bench.paper.suites import find_suites
from rho1bench.pipeline.stage import StageContext
from rho1bench.recipe import BenchmarkTextsStage

Part = Literal["question", "answer"]
_QUESTION_COLUMNS = ("question", "question_stem", "ctx", "goal", "input", "query", "prompt")
"""Where data sets keep the question; the first that a document has."""


def run(context: StageContext) -> None:
    """Write the texts, how many there are, and their index; raises RunError or DataError where a task has no data."""
    tasks = Tasks()
    stage = context.config(BenchmarkTextsStage)
    suites = find_suites(stage.suites, tasks.groups, tasks.names)
    names = list(dict.fromkeys(name for suite in suites for name in suite.tasks))
    context.progress.start(len(names), "tasks")
    texts: dict[tuple[Part, str], BenchmarkText] = {}
    documents: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        loaded = tasks.load([name])
        documents[name] = _num_documents(loaded)
        for doc_id, part, text in _texts(loaded):
            found = texts.setdefault((part, text), {"tasks": [], "doc_id": doc_id, "part": part, "text": text})
            if name not in found["tasks"]:
                found["tasks"].append(name)
        context.progress.update(number)
    context.progress.close()
    rows = {name: (documents[name], tasks.num_rows(name)) for name in names}
    write_benchmark_texts(context.folder, list(texts.values()), rows)
    for name, (at_hand, whole) in rows.items():
        if whole is not None and at_hand < whole:
            context.progress.message(
                f"{name}: {at_hand} of {whole} test documents are at hand; only they are looked for"
            )


def _num_documents(loaded: dict[str, EvalTask]) -> int:
    """Return how many test documents there are; two tasks on the same ones (pass@1 and pass@10) count once."""
    sizes = {str(task.eval_docs[0]): len(task.eval_docs) for task in loaded.values()}
    return sum(sizes.values())


def _texts(loaded: dict[str, EvalTask]) -> Iterator[tuple[str, Part, str]]:
    """Yield ``(doc_id, part, text)`` for every test document of a task, or of the parts of a benchmark."""
    for name, task in loaded.items():
        prefix = f"{name}/" if len(loaded) > 1 else ""
        for place, doc in enumerate(task.eval_docs):
            yield f"{prefix}{place}", "question", _question(task, doc)
            if answer := _answer(task, doc):
                yield f"{prefix}{place}", "answer", answer


def _question(task: EvalTask, doc: Doc) -> str:
    if task.multiple_input:  # the choices are the beginnings of a sentence, the right one makes it whole
        return f"{task.doc_to_choice(doc)[int(task.doc_to_text(doc))]} {task.doc_to_target(doc)}"
    column = next((name for name in _QUESTION_COLUMNS if name in doc), None)
    if column is None:
        raise RunError(f"task {task.task_name!r}: no question among the columns {', '.join(doc)}.")
    return str(doc[column]).partition(ASK_FOR_OPTION)[0].strip()


def _solution(doc: Doc) -> str:
    """Return the worked solution of a math problem without the sentence that ends it; empty where there is none."""
    if "solution" not in doc and doc["data_set"] not in ("gsm8k", "math"):
        return ""
    text = str(doc["solution"]) if "solution" in doc else worked_solution(doc)
    return text.partition("Final Answer:")[0].rpartition("The answer is")[0].strip() or text.strip()


def _answer(task: EvalTask, doc: Doc) -> str:
    """Return the answer; empty where the question holds it."""
    if task.multiple_input:
        return ""
    if task.OUTPUT_TYPE == "multiple_choice":
        target = first_answer(task.doc_to_target(doc))
        return str(target if isinstance(target, str) else task.doc_to_choice(doc)[int(target)]).strip()
    if "data_set" in doc:
        return _solution(doc)
    if "solution" in doc:  # a program
        return str(doc["solution"]).strip()
    return str(first_answer(doc["answers"] if "answers" in doc else task.doc_to_target(doc)) or "").strip()
