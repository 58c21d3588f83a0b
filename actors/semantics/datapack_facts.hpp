// From a stored datapack to the facts of an episode: what the centre learns from where no frames travelled with it.
// Pure.
#pragma once

#include <string_view>

#include "actors/semantics/pipeline.hpp"
#include "messages/datapack.hpp"

namespace drover::semantics {

// The skills of the trace become acts by their names, as the vocabulary resolves them; skills whose name is no action
// are refused by name in the facts. Synthetic packs speak for co-agents, real ones for the real robots they are of.
// Acts about nothing that is named are about unknown_object. A failed stop is a failure of what was under way, and the
// first act after it that worked is a recovery by restart.
// The outcome (success, damage, MPL) is what the pack states.
Analysis analysis_of_datapack(const Datapack& pack, const Vocabulary& vocabulary);

// The family that a task's name says, perhaps with a robot's name before it ("ur3_pick_place"); else other.
Family task_family(std::string_view task, const Vocabulary& vocabulary);
// What the pack is about: an object that its task names, else unknown_object.
TermId task_object(const Datapack& pack, const Vocabulary& vocabulary);
// Where nothing of the scene was seen, what was done was done to what the task is about.
void assume_task_object(const Datapack& pack, const Vocabulary& vocabulary, EpisodeFacts& facts);

}  // namespace drover::semantics
