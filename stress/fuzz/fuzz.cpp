// drover stress fuzz: runs drover-fuzz (libFuzzer with ASan and UBSan, leaks included) over every target, some at a
// time, and prints what came of it. Builds the program with clang when it is not there.
//
// What is found stays in the working folder: <target>/new (inputs that reached new code, used again the next time) and
// <target>/found (inputs that crash, hang, leak or take too much memory).
#include "stress/fuzz/fuzz.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "stress/crash/process.hpp"

namespace drover::fuzz {
namespace {

namespace fs = std::filesystem;
using crash::run_program;
using nlohmann::ordered_json;

struct Options {
  double minutes = 5;  // of computing, over all targets
  std::vector<std::string> only;
  uint32_t jobs = 1;
  uint64_t seed = 1;
  uint32_t memory_mib = 1024;
  uint32_t hang_s = 10;
  std::string program;
  std::string source = DROVER_SOURCE;
  std::string folder = "fuzz-work";
  std::string json;
};

struct Target {
  std::string name;
  uint32_t input_bytes_max = 0;
  std::string dictionary;  // "-": none
  std::string about;
};

struct Outcome {
  int code = -1;
  uint64_t executions = 0;
  double seconds = 0;
  uint64_t coverage = 0;  // edges
  uint64_t features = 0;
  uint64_t corpus = 0;  // inputs in use
  uint64_t added = 0;   // of those: found in this run
  uint64_t memory_mib = 0;
  uint64_t found = 0;  // crashes, hangs, leaks
  std::string log;
};

// ---- the program

Result<std::string> find_program(const Options& options) {
  const fs::path source(options.source);
  const std::string program =
      options.program.empty() ? (source / "build/fuzz/bin/drover-fuzz").string() : options.program;
  if (fs::exists(program)) return fs::absolute(program).string();
  if (!options.program.empty() || !fs::exists(source / "CMakePresets.json"))
    return fail(Errc::not_found, program, "is not there; --program or --source say where to look");
  std::printf("building %s with clang; this takes some minutes\n", program.c_str());
  std::fflush(stdout);
  DROVER_ASSIGN(const auto built,
                run_program({"/bin/sh", "-c", "cmake --preset fuzz && cmake --build --preset fuzz"}, options.source));
  if (built.code != 0)
    return fail(Errc::unavailable, "preset fuzz",
                "does not build (is clang installed?): " +
                    built.output.substr(built.output.size() - std::min<size_t>(built.output.size(), 2000)));
  return program;
}

Result<std::vector<Target>> list_targets(const std::string& program, const Options& options) {
  DROVER_ASSIGN(const auto ran, run_program({program, "--list"}, "/"));
  if (ran.code != 0) return fail(Errc::internal, program, ran.output);
  std::vector<Target> targets;
  std::istringstream lines(ran.output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Target target;
    words >> target.name >> target.input_bytes_max >> target.dictionary;
    std::getline(words >> std::ws, target.about);
    const bool wanted =
        options.only.empty() || std::find(options.only.begin(), options.only.end(), target.name) != options.only.end();
    if (wanted) targets.push_back(std::move(target));
  }
  if (targets.empty() || (!options.only.empty() && targets.size() != options.only.size()))
    return fail(Errc::invalid_argument, "--target", "names none that there is; drover-fuzz --list shows them");
  return targets;
}

// ---- one target

uint64_t number_behind(const std::string& text, std::string_view name) {
  const size_t at = text.rfind(name);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + name.size(), nullptr, 10);
}

uint64_t files_in(const fs::path& folder) {
  std::error_code failed;
  uint64_t count = 0;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) ++count;
  return count;
}

std::vector<std::string> words_for(const std::string& program, const Target& target, const Options& options,
                                   double seconds) {
  const fs::path work = fs::absolute(fs::path(options.folder) / target.name),
                 corpora = fs::path(options.source) / "tests/fuzz";
  std::vector<std::string> words{"/usr/bin/env", "DROVER_FUZZ_TARGET=" + target.name, program};
  words.push_back("-max_total_time=" + std::to_string(std::max(1, static_cast<int>(seconds))));
  words.push_back("-max_len=" + std::to_string(target.input_bytes_max));
  words.push_back("-rss_limit_mb=" + std::to_string(options.memory_mib));
  words.push_back("-timeout=" + std::to_string(options.hang_s));
  words.push_back("-seed=" + std::to_string(options.seed));
  words.insert(words.end(), {"-detect_leaks=1", "-print_final_stats=1", "-close_fd_mask=0"});
  words.push_back("-artifact_prefix=" + (work / "found/").string());
  if (target.dictionary != "-")
    words.push_back("-dict=" + (corpora / "dictionaries" / (target.dictionary + ".dict")).string());
  words.push_back((work / "new").string());
  words.push_back((work / "seeds").string());
  if (fs::is_directory(corpora / target.name)) words.push_back((corpora / target.name).string());
  return words;
}

Result<Outcome> fuzz_one(const std::string& program, const Target& target, const Options& options, double seconds) {
  const fs::path work = fs::absolute(fs::path(options.folder) / target.name);
  std::error_code failed;
  for (const char* part : {"new", "found", "seeds"}) fs::create_directories(work / part, failed);
  if (failed) return fail(Errc::io, work.string(), failed.message());
  Outcome outcome;
  const uint64_t before = files_in(work / "found");
  const auto start = std::chrono::steady_clock::now();
  DROVER_ASSIGN(const auto ran, run_program(words_for(program, target, options, seconds), work.string()));
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  outcome.code = ran.code;
  outcome.executions = number_behind(ran.output, "stat::number_of_executed_units:");
  outcome.added = number_behind(ran.output, "stat::new_units_added:");
  outcome.memory_mib = number_behind(ran.output, "stat::peak_rss_mb:");
  outcome.coverage = number_behind(ran.output, "cov: ");
  outcome.features = number_behind(ran.output, "ft: ");
  outcome.corpus = number_behind(ran.output, "corp: ");
  outcome.found = files_in(work / "found") - before;
  outcome.log = (work / "log.txt").string();
  std::ofstream(outcome.log, std::ios::binary) << ran.output;
  return outcome;
}

// ---- all of them

void print_head() {
  std::printf("%-20s %12s %9s %7s %8s %7s %6s %6s  %s\n", "target", "runs", "runs/s", "edges", "features", "corpus",
              "new", "MiB", "");
  std::fflush(stdout);
}

void print_row(const Target& target, const Outcome& o) {
  std::printf("%-20s %12llu %9.0f %7llu %8llu %7llu %6llu %6llu  %s\n", target.name.c_str(),
              static_cast<unsigned long long>(o.executions),
              static_cast<double>(o.executions) / std::max(o.seconds, 0.001),
              static_cast<unsigned long long>(o.coverage), static_cast<unsigned long long>(o.features),
              static_cast<unsigned long long>(o.corpus), static_cast<unsigned long long>(o.added),
              static_cast<unsigned long long>(o.memory_mib), o.code == 0 ? "" : ("FAILED, see " + o.log).c_str());
  std::fflush(stdout);
}

ordered_json row_json(const Target& target, const Outcome& o) {
  return {{"target", target.name},      {"about", target.about},  {"runs", o.executions},  {"seconds", o.seconds},
          {"edges", o.coverage},        {"features", o.features}, {"corpus", o.corpus},    {"new", o.added},
          {"memory_mib", o.memory_mib}, {"found", o.found},       {"passed", o.code == 0}, {"log", o.log}};
}

Result<bool> fuzz_all(const Options& options) {
  DROVER_ASSIGN(const std::string program, find_program(options));
  DROVER_ASSIGN(const auto targets, list_targets(program, options));
  fs::create_directories(options.folder);
  DROVER_ASSIGN(
      const auto seeds,
      run_program({program, "--write-seeds", fs::absolute(fs::path(options.folder) / "seeds").string()}, "/"));
  if (seeds.code != 0) return fail(Errc::internal, program, seeds.output);
  for (const Target& target : targets) {
    const fs::path into = fs::path(options.folder) / target.name / "seeds";
    fs::create_directories(into);
    fs::copy(fs::path(options.folder) / "seeds" / target.name, into, fs::copy_options::overwrite_existing);
  }
  const double seconds = options.minutes * 60 / static_cast<double>(targets.size());
  std::printf("%zu targets, %.0f s each, %u at a time, seed %llu, in %s\n", targets.size(), seconds, options.jobs,
              static_cast<unsigned long long>(options.seed), options.folder.c_str());
  print_head();
  std::vector<Result<Outcome>> outcomes(targets.size(), fail(Errc::internal, "fuzz", "not run"));
  std::atomic<size_t> next{0};
  std::mutex printing;
  std::vector<std::thread> workers;
  for (uint32_t i = 0; i < options.jobs; ++i)
    workers.emplace_back([&] {
      for (size_t at; (at = next++) < targets.size();) {
        auto outcome = fuzz_one(program, targets[at], options, seconds);
        std::lock_guard lock(printing);
        if (outcome) print_row(targets[at], *outcome);
        outcomes[at] = std::move(outcome);
      }
    });
  for (std::thread& worker : workers) worker.join();
  ordered_json json{{"program", "drover stress fuzz"}, {"seed", options.seed}};
  uint64_t executions = 0, failed = 0;
  double cpu_s = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (!outcomes[i]) return tl::unexpected(outcomes[i].error());
    executions += outcomes[i]->executions;
    cpu_s += outcomes[i]->seconds;
    failed += outcomes[i]->code == 0 ? 0 : 1;
    json["targets"].push_back(row_json(targets[i], *outcomes[i]));
  }
  std::printf("%llu runs in %.1f minutes of fuzzing; %llu targets failed\n",
              static_cast<unsigned long long>(executions), cpu_s / 60, static_cast<unsigned long long>(failed));
  json["passed"] = failed == 0;
  if (!options.json.empty()) std::ofstream(options.json) << json.dump(2) << "\n";
  return failed == 0;
}

}  // namespace

int fuzz_main(int argc, char** argv) {
  Options options;
  CLI::App app("Fuzz every parser of bytes from outside.", "drover stress fuzz");
  app.footer(
      "A finding is an input in <folder>/<target>/found. To see it again:\n"
      "  DROVER_FUZZ_TARGET=<target> build/fuzz/bin/drover-fuzz <the input>\n"
      "Mend it, and keep the input in tests/fuzz/<target>/: every test run replays it.");
  app.add_option("--minutes", options.minutes, "of fuzzing, shared by all targets")
      ->check(CLI::Range(0.01, 1e6))
      ->capture_default_str();
  app.add_option("--target", options.only, "only these");
  app.add_option("--jobs", options.jobs, "targets at a time")->check(CLI::Range(1, 256))->capture_default_str();
  app.add_option("--seed", options.seed, "of the mutations")->capture_default_str();
  app.add_option("--memory-mib", options.memory_mib, "more is a finding")->capture_default_str();
  app.add_option("--hang-s", options.hang_s, "an input that takes longer is a finding")->capture_default_str();
  app.add_option("--program", options.program, "drover-fuzz; else that of the preset fuzz, built when it is not there");
  app.add_option("--source", options.source, "the source tree: corpora and presets")->capture_default_str();
  app.add_option("--folder", options.folder, "where findings and new inputs go")->capture_default_str();
  app.add_option("--json", options.json, "write the table to this file");
  CLI11_PARSE(app, argc, argv);
  const auto passed = fuzz_all(options);
  if (!passed) return std::fprintf(stderr, "drover stress fuzz: %s\n", passed.error().message().c_str()), 1;
  std::printf(*passed ? "PASSED\n" : "FAILED\n");
  return *passed ? 0 : 1;
}

}  // namespace drover::fuzz
