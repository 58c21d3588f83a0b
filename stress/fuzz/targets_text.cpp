// Configuration in TOML, and documents and states in JSON.
#include "actors/datapack/baseline.hpp"
#include "actors/datapack/portable_artifacts.hpp"
#include "actors/econ/preset.hpp"
#include "actors/robot/skill_graph.hpp"
#include "actors/robot/world_config.hpp"
#include "actors/semantics/datapack_facts.hpp"
#include "actors/semantics/knowledge_text.hpp"
#include "actors/semantics/ontology.hpp"
#include "actors/semantics/pipeline.hpp"
#include "actors/semantics/segmenter.hpp"
#include "actors/semantics/sima_template.hpp"
#include "actors/semantics/sima_text.hpp"
#include "actors/semantics/task_graph.hpp"
#include "actors/semantics/trust.hpp"
#include "actors/semantics/vocabulary.hpp"
#include "stress/fuzz/target.hpp"

namespace drover::fuzz {
namespace {

using namespace semantics;

template <auto Parse>
void toml(ByteView bytes) {
  (void)Parse(as_text(bytes), "fuzz.toml");
}

template <auto Parse>
void json(ByteView bytes) {
  (void)Parse(as_text(bytes));
}

const Vocabulary& vocabulary() {
  static const auto shipped = Vocabulary::load(configs_folder() + "/semantics/vocabulary.toml");
  DROVER_CHECK(shipped.has_value(), "the shipped vocabulary does not load");
  return *shipped;
}

const Stage2Config& stage2() {
  static const auto shipped = load_stage2_config(configs_folder() + "/semantics");
  DROVER_CHECK(shipped.has_value(), "the shipped semantics configuration does not load");
  return *shipped;
}

// What was read is written and read back the same.
void ontology(ByteView bytes) {
  if (!bytes.empty() && bytes.front() != std::byte{'{'})
    return (void)OntologyStore::from_seed(as_text(bytes), "fuzz.toml", vocabulary());
  const auto store = OntologyStore::restore(as_text(bytes));
  if (!store) return;
  const std::string written = store->json();
  const auto again = OntologyStore::restore(written);
  DROVER_CHECK(again && again->json() == written, "reading and writing changes an ontology");
}

void task_graph(ByteView bytes) {
  if (!bytes.empty() && bytes.front() != std::byte{'{'})
    return (void)TaskGraph::from_seed(as_text(bytes), "fuzz.toml", vocabulary());
  const auto graph = TaskGraph::restore(as_text(bytes));
  if (!graph) return;
  const std::string written = graph->json();
  const auto again = TaskGraph::restore(written);
  DROVER_CHECK(again && again->json() == written, "reading and writing changes a task graph");
}

void trust(ByteView bytes) {
  (void)parse_trust_config(as_text(bytes), "fuzz.toml");
  const auto matrix = TrustMatrix::restored(stage2().trust, as_text(bytes));
  if (!matrix) return;
  const std::string written = matrix->json();
  const auto again = TrustMatrix::restored(stage2().trust, written);
  DROVER_CHECK(again && again->json() == written, "reading and writing changes a trust matrix");
}

Result<Stage2Pipeline> new_pipeline() {
  const std::string folder = configs_folder() + "/semantics";
  DROVER_ASSIGN(auto seed, OntologyStore::load_seed(folder + "/seed_ontology.toml", vocabulary()));
  DROVER_ASSIGN(auto graph, TaskGraph::load_seed(folder + "/task_graph.toml", vocabulary()));
  return Stage2Pipeline(stage2(), vocabulary(), std::move(seed), std::move(graph));
}

// The saved state of everything that is learnt.
void semantics_state(ByteView bytes) {
  static const auto fresh = new_pipeline();
  DROVER_CHECK(fresh.has_value(), "the shipped seeds do not load");
  Stage2Pipeline pipeline = *fresh;
  if (!pipeline.restore(as_text(bytes))) return;
  const std::string written = pipeline.save();
  Stage2Pipeline again = *fresh;
  DROVER_CHECK(again.restore(written).has_value(), "a state that was saved does not restore");
  DROVER_CHECK(again.save() == written, "restoring and saving changes a state");
}

// Documents as robots take them: name, zero byte, content, zero byte, and so on.
void knowledge_documents_held(ByteView bytes) {
  std::map<std::string, Bytes> documents;
  std::string_view rest = as_text(bytes);
  while (!rest.empty() && documents.size() < 16) {
    const auto cut = [&rest] {
      const size_t end = rest.find('\0');
      const std::string_view piece = rest.substr(0, end);
      rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
      return piece;
    };
    const std::string name(cut());
    documents[name] = Bytes::copy_of(cut());
  }
  (void)read_knowledge(documents);
}

// The JSON inside a datapack, as semantics reads it.
void pack_facts(ByteView bytes) {
  const std::string_view text = as_text(bytes);
  const size_t middle = text.find('\0');
  Datapack pack;
  pack.pack_id = "pack";
  pack.provenance.robot = "robot-1";
  pack.episode_metrics_json = std::string(text.substr(0, middle));
  SkillStep step;
  step.skill_id = 1;
  step.end_s = 1;
  if (middle != std::string_view::npos) step.extra_json = std::string(text.substr(middle + 1));
  pack.skill_trace.push_back(step);
  (void)analysis_of_datapack(pack, vocabulary());
}

void rollout(ByteView bytes) {
  const auto parsed = parse_rollout(as_text(bytes));
  if (!parsed) return;
  const std::string line = rollout_text(*parsed);
  const auto again = parse_rollout(line);
  DROVER_CHECK(again && rollout_text(*again) == line, "reading and writing changes a rollout");
}

void portable(ByteView bytes) {
  (void)datapack::parse_scene_tracks(as_text(bytes));
  (void)datapack::parse_rgb_features(as_text(bytes));
  (void)datapack::parse_slice_labels(as_text(bytes));
}

void baseline_state(ByteView bytes) {
  const auto state = datapack::baseline_state_from_json(as_text(bytes));
  if (!state) return;
  const std::string written = datapack::to_json(*state);
  const auto again = datapack::baseline_state_from_json(written);
  DROVER_CHECK(again && datapack::to_json(*again) == written, "reading and writing changes a baseline");
}

// ---- seeds

template <size_t N>
struct Path {
  char text[N];
  constexpr Path(const char (&from)[N]) { std::copy_n(from, N, text); }
};

template <Path File>
Seeds shipped() {
  return {read_file(configs_folder() + "/" + File.text)};
}

Seeds ontology_seeds() {
  const std::string file = configs_folder() + "/semantics/seed_ontology.toml";
  const auto store = OntologyStore::load_seed(file, vocabulary());
  return {read_file(file).substr(0, 8000), store ? store->json() : ""};
}
Seeds task_graph_seeds() {
  const std::string file = configs_folder() + "/semantics/task_graph.toml";
  const auto graph = TaskGraph::load_seed(file, vocabulary());
  return {read_file(file).substr(0, 8000), graph ? graph->json() : ""};
}
Seeds trust_seeds() {
  return {read_file(configs_folder() + "/semantics/trust.toml"), TrustMatrix(stage2().trust, {}).json()};
}
Seeds state_seeds() {
  const auto pipeline = new_pipeline();
  return {pipeline ? pipeline->save() : ""};
}
Seeds documents_seeds() {
  auto pipeline = new_pipeline();
  std::string all;
  if (pipeline)
    for (const auto& [name, content] : pipeline->documents())
      all.append(name).append(1, '\0').append(content.text()).append(1, '\0');
  return {all};
}
Seeds pack_facts_seeds() {
  std::string text = R"({"outcome":"success","units":1,"errors":0,"duration_s":5,"mpl_units_per_h":720})";
  text.push_back('\0');
  text += R"({"object":"drawer","outcome":"failed","reason":"grasp_slip"})";
  return {text, "{}"};
}
Seeds rollout_seeds() {
  TemplateClient client(TemplateConfig{}, {Family::drawer_open}, 1);
  Seeds seeds;
  if (auto made = client.next(); made && *made) {
    auto& frames = (*made)->rollout.frames;
    if (frames.size() > 4) frames.resize(4);
    seeds.push_back(rollout_text(**made));
  }
  return seeds;
}
Seeds portable_seeds() {
  return {
      R"({"times_s":[0,0.1],"objects":["vase"],"poses_t":{"vase":[[0,0,0],[0,0,1]]},"poses_R":{"vase":[[1,0,0,0],[1,0,0,0]]}})",
      R"({"encoder":"vision_rgb::deterministic_pool_v1","dim":2,"pooling":"mean","stride_s":0.1,"features":[[1,2]]})",
      R"({"occlusion_level":0.5,"is_occluded":true,"motion_score":0,"is_dynamic":false,"is_static":true,"slices":[]})"};
}
Seeds baseline_seeds() {
  return {datapack::to_json(datapack::BaselineState{})};
}

}  // namespace

std::span<const Target> text_targets() {
  static const std::vector<Target> list = {
      {"econ_preset", "econ presets", "toml", 8192, toml<econ::parse_econ_preset>, shipped<"econ/default.toml">},
      {"baselines", "baseline rules", "toml", 4096, toml<datapack::parse_baselines>, shipped<"baselines/default.toml">},
      {"world", "worlds", "toml", 8192, toml<robot::parse_world_config>, shipped<"worlds/drawer_vase/world.toml">},
      {"skills", "skill graphs", "toml", 8192, toml<robot::SkillGraph::parse>,
       shipped<"worlds/dish_place/skills.toml">},
      {"vocabulary", "vocabularies", "toml", 8192, toml<Vocabulary::parse>, shipped<"semantics/vocabulary.toml">},
      {"segmentation", "segmentation", "toml", 8192, toml<parse_segmenter_config>,
       shipped<"semantics/segmentation.toml">},
      {"tagging", "tagging", "toml", 8192, toml<parse_stage2_config>, shipped<"semantics/tagging.toml">},
      {"ontology", "ontologies, TOML and JSON", "semantics", 8192, ontology, ontology_seeds},
      {"task_graph", "task graphs, TOML and JSON", "semantics", 8192, task_graph, task_graph_seeds},
      {"trust", "trust, TOML and JSON", "semantics", 8192, trust, trust_seeds},
      {"semantics_state", "the saved state of semantics", "semantics", 16384, semantics_state, state_seeds},
      {"documents", "knowledge as robots take it", "semantics", 16384, knowledge_documents_held, documents_seeds},
      {"pack_facts", "JSON inside datapacks", "json", 1024, pack_facts, pack_facts_seeds},
      {"rollout", "rollouts as lines", "json", 8192, rollout, rollout_seeds},
      {"portable", "portable artifacts", "json", 4096, portable, portable_seeds},
      {"baseline_state", "states of baselines", "json", 1024, baseline_state, baseline_seeds},
  };
  return list;
}

}  // namespace drover::fuzz
