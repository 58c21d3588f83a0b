// drover-semantics-check: boundaries, labels and outcomes of the segmenter against the truth, per source, in tables.
//
//   drover-semantics-check [--source templates,physics,logs] [--count 200] [--seed 1000] [--rate 20] [--noise 1]
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "actors/robot/mujoco_world.hpp"
#include "actors/robot/script.hpp"
#include "actors/semantics/physics_frames.hpp"
#include "actors/semantics/segment_score.hpp"
#include "actors/semantics/segmenter.hpp"
#include "actors/semantics/sima_template.hpp"

using namespace drover;
using namespace drover::semantics;

namespace {

struct Options {
  std::vector<std::string> sources = {"templates"};
  std::vector<std::string> families;
  uint64_t count = 200;
  uint64_t seed = 1000;
  double rate_hz = 20;
  double noise = 1;
  uint64_t show = 0;   // rollouts printed segment by segment
  bool wrong = false;  // only those with a mistake
  std::string worlds = "configs/worlds";
  std::vector<std::string> world_names = {"drawer_vase"};
};

void print_segments(const LabelledRollout& r, const std::vector<Segment>& found) {
  std::printf("%s: %s %s %s\n", r.rollout.id.c_str(), std::string(template_name(r.truth.kind)).c_str(),
              r.truth.failure.c_str(), r.truth.recovery.c_str());
  const auto line = [](const char* who, double a, double b, Label l, Outcome o, Reason w) {
    std::printf("  %-5s %7.2f %7.2f %-17s %-9s %s\n", who, a, b, std::string(label_name(l)).c_str(),
                std::string(outcome_name(o)).c_str(), w == Reason::none ? "" : std::string(reason_name(w)).c_str());
  };
  for (const TruthSegment& s : r.truth.segments) line("true", s.start_s, s.end_s, s.label, s.outcome, s.reason);
  for (const Segment& s : found) line("found", s.start_s, s.end_s, s.label, s.outcome, s.reason);
}

void print_score(const std::string& name, const SegmentScore& score) {
  std::printf("%-20s %6llu streams  boundary F1 %.4f  labels %.4f  failures %.3f/%.3f  repairs %.3f/%.3f\n",
              name.c_str(), static_cast<unsigned long long>(score.streams()), score.boundary_f1(),
              score.label_accuracy(), score.failure_recall(), score.failure_precision(), score.repair_recall(),
              score.repair_precision());
}

void check_templates(const Options& options) {
  TemplateConfig config;
  config.seed = options.seed;
  config.rate_hz = options.rate_hz;
  config.noise = options.noise;
  TemplateLibrary library(config);
  Segmenter segmenter({});
  SegmentScore all;
  LabelledRollout r;
  std::vector<Segment> found;
  double seconds = 0;
  size_t frames = 0;
  for (size_t f = 0; f < family_count; ++f) {
    const auto family = static_cast<Family>(f);
    const std::string name(family_name(family));
    if (!options.families.empty() &&
        std::find(options.families.begin(), options.families.end(), name) == options.families.end())
      continue;
    SegmentScore score;
    uint64_t shown = 0;
    for (uint64_t i = 0; i < options.count; ++i) {
      library.make(family, i, r);
      const auto start = std::chrono::steady_clock::now();
      segment_rollout(segmenter, r.rollout, found);
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      frames += r.rollout.frames.size();
      score.add(r.truth.segments, found);
      all.add(r.truth.segments, found);
      SegmentScore one;
      one.add(r.truth.segments, found);
      const bool perfect = one.boundary_f1() > 0.999 && one.label_accuracy() > 0.93 && one.failure_recall() == 1 &&
                           one.failure_precision() == 1 && one.repair_recall() == 1 && one.repair_precision() == 1;
      if (shown < options.show && !(options.wrong && perfect)) {
        ++shown;
        print_segments(r, found);
      }
    }
    print_score(name, score);
  }
  print_score("templates", all);
  std::printf("%s%.1f us per 100 frames (one thread)\n", all.table().c_str(),
              1e8 * seconds / static_cast<double>(frames));
}

int check_physics(const Options& options) {
  for (const std::string& name : options.world_names) {
    const std::string folder = options.worlds + "/" + name;
    auto worlds = robot::MujocoWorlds::load(folder);
    auto graph = robot::SkillGraph::load(folder + "/skills.toml");
    if (!worlds || !graph) {
      std::fprintf(stderr, "%s\n", (!worlds ? worlds.error() : graph.error()).message().c_str());
      return 1;
    }
    auto world = worlds->make();
    if (!world) return 1;
    Segmenter segmenter({});
    SegmentScore all;
    std::vector<Segment> found;
    for (const std::string set : {"nominal", "hard"}) {
      SegmentScore score;
      uint64_t shown = 0;
      for (uint64_t seed = options.seed; seed < options.seed + options.count; ++seed) {
        robot::ScriptedSkills script(*graph);
        auto labelled = physics_rollout(**world, script, {seed, set, {}});
        if (!labelled) return 1;
        segment_rollout(segmenter, labelled->rollout, found);
        score.add(labelled->truth.segments, found);
        all.add(labelled->truth.segments, found);
        SegmentScore one;
        one.add(labelled->truth.segments, found);
        if (shown < options.show && !(options.wrong && one.boundary_f1() > 0.9)) {
          ++shown;
          print_segments(*labelled, found);
        }
      }
      print_score(name + " " + set, score);
    }
    print_score(name, all);
    std::printf("%s", all.table().c_str());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Segmentation against the truth");
  Options options;
  app.add_option("--source", options.sources, "templates, physics, logs")->delimiter(',');
  app.add_option("--family", options.families, "Template families; empty: all")->delimiter(',');
  app.add_option("--count", options.count, "Rollouts per family");
  app.add_option("--seed", options.seed, "Seed of the batch");
  app.add_option("--rate", options.rate_hz, "Frames per second");
  app.add_option("--noise", options.noise, "Factor on the sensors' noise");
  app.add_option("--show", options.show, "Print that many rollouts per family");
  app.add_flag("--wrong", options.wrong, "Print only those with mistakes");
  app.add_option("--worlds", options.worlds, "Folder of the worlds");
  app.add_option("--world", options.world_names, "Worlds")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  int failed = 0;
  for (const std::string& source : options.sources) {
    if (source == "templates") check_templates(options);
    if (source == "physics") failed |= check_physics(options);
  }
  return failed;
}
