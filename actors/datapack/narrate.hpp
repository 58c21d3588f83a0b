// Words for a skill trace: a SIMA-style annotation made by rule, for packs that nobody narrated.
//
// Deterministic: equal packs give equal words. The annotation says that a rule wrote it (sima_agent_id), so that nobody
// takes it for an observer's.
#pragma once

#include "messages/datapack.hpp"

namespace drover::datapack {

inline constexpr std::string_view narrator_id = "template_narrator_v1";
inline constexpr size_t narrations_max = 200;  // the last one then counts the rest

// instruction: what the task asks for. step_narrations: one per skill, "0.0 s: grasp the handle, failed (slip)".
// derived_skill_plan: the skills in order, repetitions in a row once. source_world: the condition's.
SimaAnnotation narrate(const Datapack& pack);

}  // namespace drover::datapack
