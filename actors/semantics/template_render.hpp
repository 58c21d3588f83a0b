// Rendering: a script becomes frames at a rate, as sensors would see it, and truth segments. Pure.
#pragma once

#include "actors/runtime/rng.hpp"
#include "actors/semantics/rollout.hpp"
#include "actors/semantics/sima_template.hpp"
#include "actors/semantics/template_script.hpp"

namespace drover::semantics {

struct RenderOptions {
  double rate_hz = 20;
  double noise = 1;
};

// Frames replace those in `out`; its memory is used again.
void render(const Script& script, const RenderOptions& options, runtime::Rng& rng, std::vector<RolloutFrame>& out);

// Neighbouring phases with the same label, outcome and reason are one truth segment.
void render_truth(const Script& script, std::vector<TruthSegment>& out);

}  // namespace drover::semantics
