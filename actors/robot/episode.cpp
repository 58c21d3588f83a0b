#include "actors/robot/episode.hpp"

#include <algorithm>

#include "messages/hash.hpp"

namespace drover::robot {
namespace {

uint64_t mix(uint64_t hash, std::string_view text) {
  return checksum64(as_bytes(text), hash);
}
uint64_t mix(uint64_t hash, uint64_t value) {
  return checksum64(std::as_bytes(std::span(&value, 1)), hash);
}
uint64_t mix(uint64_t hash, double value) {
  return checksum64(std::as_bytes(std::span(&value, 1)), hash);
}

void collect(const World& world, const Policy& policy, EpisodeResult& result) {
  result.outcome = world.outcome();
  result.skills = policy.trace();
  result.events = world.events();
  result.events.insert(result.events.end(), policy.events().begin(), policy.events().end());
  std::stable_sort(result.events.begin(), result.events.end(),
                   [](const WorldEvent& a, const WorldEvent& b) { return a.time_s < b.time_s; });
  result.energy = world.energy();
  result.kind = classify(result.outcome, result.skills);
  if (result.kind == Template::failure)
    for (const SkillSpan& span : result.skills)
      if (span.outcome == "failure") result.failure_reason = span.reason;
  for (const WorldEvent& event : result.events) {
    result.hash = mix(result.hash, event.time_s);
    result.hash = mix(mix(result.hash, event.kind), event.detail);
  }
  for (const SkillSpan& span : result.skills) {
    result.hash = mix(mix(result.hash, span.start_s), span.end_s);
    result.hash = mix(mix(result.hash, span.manoeuvre), span.outcome);
  }
}

}  // namespace

std::string_view template_name(Template value) noexcept {
  switch (value) {
    case Template::success:
      return "success";
    case Template::recovered:
      return "recovered";
    case Template::mixed:
      return "mixed";
    case Template::failure:
      break;
  }
  return "failure";
}

Template classify(const Outcome& outcome, const std::vector<SkillSpan>& skills) {
  if (!outcome.success) return Template::failure;
  bool failed = false;
  for (const SkillSpan& span : skills) {
    if (span.kind == NodeKind::recovery) return Template::recovered;
    failed = failed || span.outcome == "failure";
  }
  return failed ? Template::mixed : Template::success;
}

Result<EpisodeResult> run_episode(World& world, Policy& policy, const EpisodeRequest& request) {
  DROVER_TRY(world.reset(request.seed, request.condition_set));
  EpisodeResult result;
  result.condition = world.condition();
  result.engine = world.info().engine;
  result.hash = world.state_hash();
  policy.begin(world.info(), world.observe());
  while (true) {
    const double now_s = world.observe().time_s;
    if (world.outcome().broken) {
      policy.stop(now_s, "vase_broken");
      break;
    }
    if (now_s >= world.info().episode_s_max) {
      policy.stop(now_s, "out_of_time");
      break;
    }
    const Decision decision = policy.decide(world.observe());
    if (decision.finished) break;
    DROVER_TRY(world.step(decision.action));
    ++result.control_steps;
    result.hash = mix(result.hash, world.state_hash());
    if (request.observer) request.observer(decision.action, world);
  }
  result.duration_s = world.observe().time_s;
  collect(world, policy, result);
  return result;
}

}  // namespace drover::robot
