#include "actors/semantics/robot_segmenter.hpp"

#include <fstream>
#include <sstream>
#include <utility>

#include "actors/semantics/datapack_facts.hpp"
#include "actors/semantics/episode_segments.hpp"
#include "actors/semantics/json_text.hpp"
#include "storage/mcap/io.hpp"

namespace drover::semantics {
namespace {

// Without any of these nobody can tell whether the robot did anything.
constexpr uint32_t telling_signals = signal_joints | signal_tool;

Result<Rollout> frames_of(const capture::CapturedEpisode& episode, const capture::Mapping& mapping) {
  if (mapping.format == capture::LogFormat::recording) {
    DROVER_ASSIGN(Rollout rollout, rollout_from_recording(mcap::memory_source(episode.slice)));
    rollout.id = episode.header.episode_id;
    rollout.robot = episode.header.robot;
    return rollout;
  }
  return rollout_from_log(episode, mapping);
}

// Least distances that facts measured, in the order of the scene.
std::vector<std::array<float, objects_max>> near_of(const EpisodeFacts& facts) {
  std::vector<std::array<float, objects_max>> out;
  out.reserve(facts.actions.size());
  for (const ActionFact& a : facts.actions) out.push_back(a.near_m);
  return out;
}

}  // namespace

Result<std::shared_ptr<const RobotSegmenterRules>> load_robot_segmenter_rules(const std::string& folder) {
  const std::string path = folder + "/segmentation.toml";
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Errc::not_found, path, "cannot be read");
  std::ostringstream text;
  text << in.rdbuf();
  DROVER_ASSIGN(const SegmenterConfig segmenter, parse_segmenter_config(text.view(), path));
  DROVER_ASSIGN(const Stage2Config stage2, load_stage2_config(folder));
  DROVER_ASSIGN(Vocabulary vocabulary, Vocabulary::load(folder + "/vocabulary.toml"));
  DROVER_ASSIGN(OntologyStore ontology, OntologyStore::load_seed(folder + "/seed_ontology.toml", vocabulary));
  return std::make_shared<const RobotSegmenterRules>(RobotSegmenterRules{
      segmenter, PrimitiveConfig{}, stage2.tagging, stage2.ood, std::move(vocabulary), std::move(ontology)});
}

RobotSegmenter::RobotSegmenter(std::shared_ptr<const RobotSegmenterRules> rules)
    : rules_(std::move(rules)), segmenter_(rules_->segmenter), reference_(rules_->ood) {}

Status RobotSegmenter::restore(std::string_view state) {
  TrainingReference fresh(rules_->ood);
  DROVER_TRY(fresh.restore(state));
  reference_ = std::move(fresh);
  return {};
}

std::optional<std::string> RobotSegmenter::state() {
  if (!std::exchange(learnt_, false)) return std::nullopt;
  return reference_.json();
}

Result<capture::Annotation> RobotSegmenter::annotate(const capture::CapturedEpisode& episode,
                                                     const capture::Mapping& mapping, const Datapack& pack) {
  capture::Annotation out;
  auto heard = frames_.take(episode, mapping);
  if (!heard) {
    DROVER_ASSIGN(heard, frames_of(episode, mapping));
  }
  Rollout rollout = std::move(*heard);
  if ((rollout.signals & telling_signals) == 0 || rollout.frames.empty()) return out;
  rollout.family = task_family(rollout.task_name, rules_->vocabulary);
  EpisodeSegments found;
  segment_rollout(segmenter_, rollout, found.segments);
  found.frames = rollout.frames.size();
  found.dropped_frames = segmenter_.dropped_frames();
  found.found = found.segments.size();
  if (found.segments.size() > segments_max) found.segments.resize(segments_max);
  const auto primitives = extract_primitives(rollout, found.segments, rules_->primitive);
  EpisodeFacts facts = gather_facts(rollout, found.segments, primitives, rules_->vocabulary);
  found.near_m = near_of(facts);
  assume_task_object(pack, rules_->vocabulary, facts);
  TagSet tags;
  // Its own detector has no record of being wrong: full trust. The centre compares with what came of the episodes.
  tags.ood = reference_.detect(facts, rollout.embedding, 1.0);
  const TaggingContext context{rules_->vocabulary, rules_->ontology.current(), 0, {}};
  tags.recovery = find_recoveries(facts, rules_->tagging, context);
  found.words = tags.words();
  JsonText tags_text;
  tags.write(tags_text);
  found.tags_json = std::move(tags_text).text();
  if (!reference_.ready()) {
    reference_.learn(facts, rollout.embedding);
    learnt_ = true;
  }
  rollout.frames.clear();
  found.episode = std::move(rollout);
  out.record =
      Enrichment{pack.pack_id, std::string(robot_segmenter_source), segments_json(found), episode.header.end_unix_ns};
  return out;
}

}  // namespace drover::semantics
