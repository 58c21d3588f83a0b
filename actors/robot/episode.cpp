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

// The world's own word for it: vase_broken, dish_broken, ...
std::string what_broke(const World& world) {
  for (auto event = world.events().rbegin(); event != world.events().rend(); ++event)
    if (event->severity == "error") return event->kind;
  return "broken";
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

EpisodeRun::EpisodeRun(World& world, Policy& policy, EpisodeRequest request)
    : world_(&world), policy_(&policy), request_(std::move(request)) {}

Result<EpisodeRun> EpisodeRun::begin(World& world, Policy& policy, EpisodeRequest request) {
  DROVER_TRY(world.reset(request.seed, request.condition_set));
  EpisodeRun run(world, policy, std::move(request));
  run.result_.condition = world.condition();
  run.result_.engine = world.info().engine;
  run.result_.hash = world.state_hash();
  policy.begin(world.info(), world.observe());
  return run;
}

void EpisodeRun::stop(const std::string& reason) {
  if (over_) return;
  policy_->stop(world_->observe().time_s, reason);
  over_ = true;
}

Result<bool> EpisodeRun::step() {
  if (!over_ && world_->outcome().broken) stop(what_broke(*world_));
  if (!over_ && world_->observe().time_s >= world_->info().episode_s_max) stop("out_of_time");
  if (over_) return false;
  const Decision decision = policy_->decide(world_->observe());
  over_ = decision.finished;
  if (over_) return false;
  DROVER_TRY(world_->step(decision.action));
  ++result_.control_steps;
  result_.hash = mix(result_.hash, world_->state_hash());
  if (request_.observer) request_.observer(decision.action, *world_);
  return true;
}

EpisodeResult EpisodeRun::finish() {
  result_.duration_s = world_->observe().time_s;
  collect(*world_, *policy_, result_);
  return std::move(result_);
}

Result<EpisodeResult> run_episode(World& world, Policy& policy, const EpisodeRequest& request) {
  DROVER_ASSIGN(EpisodeRun run, EpisodeRun::begin(world, policy, request));
  while (true) {
    DROVER_ASSIGN(const bool more, run.step());
    if (!more) return run.finish();
  }
}

}  // namespace drover::robot
