// drover stress semantics: made-up rollouts through the whole chain, and tables of what it costs and how good it is.
// Exit code 1 when a required bound does not hold.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "stress/semantics/chain.hpp"

int main(int argc, char** argv) {
  using namespace drover::semantics::stress;
  Options options;
  options.configs = DROVER_CONFIGS_DIR "/semantics";
  std::string set = "all";
  CLI::App app(
      "Made-up rollouts through the whole semantic chain: frames, segments, primitives, tags, ontology, task graph,\n"
      "trust, enrichment records in a coordinator's store. Prints tables of costs and quality with what is required "
      "and\n"
      "what is aimed at; exit code 1 when something required does not hold. Making the rollouts is not timed.\n\n"
      "  mix     dataset_stress_mix_v1: 40 % drawer_open, 40 % dish_place, 20 % noise\n"
      "  worst   1000 failures in a row; every primitive emits every tag; a task graph of depth 50\n"
      "  edge    dataset_edge_cases_v1: empty rollouts, a million steps, bytes that are no text, wrong clocks\n"
      "  centre  what learning costs a coordinator, byte by byte, and a restart",
      "drover stress semantics");
  app.add_option("--set", set, "mix | worst | edge | centre | all")
      ->check(CLI::IsMember({"mix", "worst", "edge", "centre", "all"}))
      ->capture_default_str();
  app.add_option("--rollouts", options.rollouts, "how many, of mix and centre")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  app.add_option("--long-steps", options.long_steps, "steps of the longest rollout of edge")
      ->check(CLI::Range(1000, 100'000'000))
      ->capture_default_str();
  app.add_option("--rate", options.rate_hz, "frames per second of a rollout")
      ->check(CLI::Range(10.0, 1000.0))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "decides every rollout")->capture_default_str();
  app.add_option(
      "--store", options.store,
      "with --set mix: into this coordinator's store, made when absent; else into one that is gone in the end");
  app.add_flag("--memory", options.in_memory, "no store: records stay in memory");
  app.add_option("--sync", options.sync, "acknowledge after fdatasync")->capture_default_str();
  app.add_option("--documents", options.documents, "write the knowledge documents of the mix to this folder")
      ->check(CLI::ExistingDirectory);
  app.add_option("--configs", options.configs, "folder of the semantics configuration")->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, argc, argv);
  const std::pair<const char*, drover::Result<bool> (*)(const Options&)> sets[] = {
      {"mix", run_mix}, {"worst", run_worst}, {"edge", run_edge}, {"centre", run_centre}};
  bool holds = true;
  for (const auto& [name, run] : sets) {
    if (set != "all" && set != name) continue;
    Options own = options;
    if (std::string_view(name) != "mix") own.store.clear();
    const auto held = run(own);
    if (!held) {
      std::fprintf(stderr, "drover stress semantics: %s: %s\n", name, held.error().message().c_str());
      return 1;
    }
    holds = holds && *held;
  }
  std::printf("\n%s\n", holds ? "PASSED" : "FAILED: a required bound does not hold");
  return holds ? 0 : 1;
}
