"""What a user's program looks like to a type checker: `mypy --strict` reads this file, nothing runs it.

Each `type: ignore` stands for an error that must be found: mypy complains about one that is not needed.
"""

import numpy as np
import relscale
from numpy.typing import NDArray
from typing_extensions import assert_type

frame = relscale.simulate("plain", replicate=1).frame
analysis = relscale.fit(frame, "web", margin_percent=1.0, design="isoflop", predict_at=[1e21])
assert_type(analysis, relscale.Analysis)
assert_type(analysis.answer, list[str])
assert_type(str(analysis.summary()), str)
assert_type(relscale.Analysis.from_json(analysis.to_json()), relscale.Analysis)
assert_type(relscale.read_ladder("losses.csv", columns={"loss": "bpb"}).distributions, list[str])
relscale.fit(["losses.csv", frame], "web", groups={"code": ["go", "rust"]}, hold_out=["large"])

relscale.fit(frame, "web", margin_pct=1.0)  # type: ignore[call-arg]
relscale.fit(frame, "web", design="isoflops")  # type: ignore[arg-type]
relscale.fit(frame, "web", alpha="5 %")  # type: ignore[arg-type]
analysis.plot("pie")  # type: ignore[arg-type]

model = relscale.Model("checkpoint", precision="bf16", threads=2)
assert_type(model.log_likelihoods([[1, 2], np.array([3, 4])]), list[NDArray[np.float64]])
relscale.score(model, ["a text"], ["bits_per_byte"], bos={"first": 1}, progress=print)
relscale.score(model, ["a text"], backend="cuda")  # type: ignore[arg-type]

forecast = relscale.plan(budgets=[1e18, 1e19, 1e20]).forecast(seeds=2)
assert_type(forecast, dict[str, float])
