"""Rules about atlases: everything on the page is of one corpus and one vocabulary."""

from __future__ import annotations

from rho1bench.recipe.models.atlas import AtlasStage
from rho1bench.recipe.models.corpus import CorpusStage
from rho1bench.recipe.models.score_names import rule_spec
from rho1bench.recipe.models.selection import ScoreStage
from rho1bench.recipe.models.training import TrainStage
from rho1bench.recipe.rules.rule import Earlier, Problems, rule


@rule(AtlasStage)
def scores_are_those_of_the_atlas(stage: AtlasStage, earlier: Earlier) -> Problems:
    """Stored scores are of the corpus that the atlas shows."""
    for of in stage.stores.values():
        scored = earlier.stage(of, ScoreStage).corpus
        if scored != stage.corpus:
            yield ("token_scores",), f"{of!r} scores the corpus {scored!r}, the atlas shows {stage.corpus!r}"


@rule(AtlasStage)
def checkpoints_read_the_atlas(stage: AtlasStage, earlier: Earlier) -> Problems:
    """Checkpoints read with the tokenizer that the corpus is packed with."""
    packed = earlier.stage(stage.corpus, CorpusStage).tokenizer
    for index, name in enumerate(stage.checkpoints):
        own = earlier.stage(name, TrainStage).tokenizer_stage(earlier).name
        if own != packed:
            yield (
                ("checkpoints", str(index)),
                f"{name!r} reads with the tokenizer {own!r}, the corpus {stage.corpus!r} is packed with {packed!r}",
            )


@rule(AtlasStage)
def rules_have_their_scores(stage: AtlasStage, earlier: Earlier) -> Problems:
    """The stored scores that rules read are named."""
    for index, name in enumerate(stage.rules):
        missing = [store for store in rule_spec(name).stores if store not in stage.stores]
        if missing:
            yield ("rules", str(index)), f"{name!r} reads the scores {', '.join(missing)}; name them as token_scores"


@rule(AtlasStage)
def there_is_one_atlas(stage: AtlasStage, earlier: Earlier) -> Problems:
    """A run has one page of tokens, atlas.html."""
    others = [name for name, other in earlier.by_name.items() if isinstance(other, AtlasStage)]
    if others:
        yield (
            ("kind",),
            f"the stage {others[0]!r} writes atlas.html already; leave one out, or use `rho1bench atlas RUN --output`",
        )
