// drover smoke: a whole fleet in one process, with faults in the middle and an account at the end.
//
// Exit codes: 0 every invariant held; 1 one was broken or the run did not finish; 2 usage; 3 configuration;
// 4 could not start (logs or folders); 130 interrupted.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>

#include "actors/capture/source.hpp"
#include "nodes/exit_code.hpp"
#include "smoke/check.hpp"
#include "smoke/drive.hpp"
#include "smoke/pictures.hpp"
#include "smoke/report.hpp"

namespace drover::smoke {
namespace {

namespace fs = std::filesystem;
using nodes::ExitCode;

std::atomic<bool> interrupted = false;

struct Options {
  std::string logs;
  std::string report = "drover-smoke-report";
  std::string work;
  std::string configs;
  uint64_t seed = 1;
  uint32_t episodes = 40;
  uint32_t world_episodes = 5;
  double deadline_s = 60;
  bool keep = false;
  bool json = false;
  bool quiet = false;
  bool verbose = false;
};

constexpr const char* about =
    "Runs three robots and a coordinator in this process, over in-memory links and temporary stores.\n"
    "Robots take up logs, and two of them act in a simulated world as well: what they do becomes valued datapacks and\n"
    "comes to the centre. In the middle one robot is killed and restarted, a link is cut, and the coordinator is "
    "killed and restarted. When everything has drained,\n"
    "the stores are opened and compared with the logs, and with the same physics run again by itself.\n";

constexpr const char* lesson =
    "\nExamples\n"
    "  drover smoke                      on logs that it makes up (their episodes are labelled synthetic)\n"
    "  drover smoke --logs ~/robot-logs  on your own: every *.csv and *.mcap below the folder; they are copied, not "
    "moved\n"
    "  drover smoke --world-episodes 0   logs only\n"
    "  drover smoke --keep --work /tmp/s keep the stores, to look at them with drover packs and drover audit\n"
    "  drover smoke --json | jq .passed  the report as JSON on stdout, nothing else\n"
    "\nColumns of the live table\n"
    "  files      logs that the robots are done with, of all that were handed over\n"
    "  episodes   that arrived at the centre, of those that the logs hold and the simulated bodies begin\n"
    "  records    in the robots' journals; acked: synced at the centre; applied: in its indexes; backlog: not yet\n"
    "  chunks     pieces of raw data held at the centre\n"
    "\nA log of an unknown kind is listed in the report and does not fail the run; configs/mappings says how to add a "
    "kind.\n"
    "Exit code 0 means that every invariant held; 1 that one did not, or that the run did not finish in time.\n";

// Writes every event to a file and counts the errors. Safe from any thread.
class EventLog {
 public:
  EventLog(const std::string& path, bool verbose) : out_(path), verbose_(verbose) {}
  // Shares the log: actors may outlive the run.
  static runtime::LogSink sink(const std::shared_ptr<EventLog>& log) {
    return [log](runtime::LogLevel level, std::string_view event) { log->write(level, event); };
  }
  uint64_t errors() const { return errors_; }
  std::string first_error() const { return first_error_; }

 private:
  void write(runtime::LogLevel level, std::string_view event) {
    const std::lock_guard lock(mutex_);
    const double t_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    char time[32];
    std::snprintf(time, sizeof time, "%9.3f ", t_s);
    const std::string line = time + std::string(runtime::log_level_name(level)) + " " + std::string(event) + "\n";
    out_ << line << std::flush;
    if (verbose_) std::fputs(line.c_str(), stderr);
    if (level == runtime::LogLevel::error && errors_++ == 0) first_error_ = event;
  }

  std::mutex mutex_;
  std::ofstream out_;
  bool verbose_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::atomic<uint64_t> errors_ = 0;
  std::string first_error_;
};

// A folder that goes away with it, unless it is to be kept.
class WorkFolder {
 public:
  static Result<WorkFolder> make(const Options& options) {
    std::error_code failed;
    if (options.work.empty()) {
      std::string name = (fs::temp_directory_path(failed) / "drover-smoke-XXXXXX").string();
      if (mkdtemp(name.data()) == nullptr) return fail(Errc::io, name, "cannot make a temporary folder");
      return WorkFolder(name, options.keep);
    }
    if (fs::exists(options.work) && !fs::is_empty(options.work, failed))
      return fail(Errc::already_exists, options.work, "--work must be a new or an empty folder");
    fs::create_directories(options.work, failed);
    if (failed) return fail(Errc::io, options.work, "cannot make the folder: " + failed.message());
    return WorkFolder(fs::absolute(options.work).string(), options.keep);
  }
  ~WorkFolder() {
    std::error_code ignored;
    if (!path_.empty() && !keep_) fs::remove_all(path_, ignored);
  }
  WorkFolder(WorkFolder&& other) noexcept : path_(std::exchange(other.path_, "")), keep_(other.keep_) {}
  WorkFolder& operator=(WorkFolder&&) = delete;
  const std::string& path() const { return path_; }

 private:
  WorkFolder(std::string path, bool keep) : path_(std::move(path)), keep_(keep) {}
  std::string path_;
  bool keep_;
};

// Beside an installed or a freshly built program, else where it was built from.
std::string find_configs() {
  std::error_code failed;
  const fs::path here = fs::read_symlink("/proc/self/exe", failed).parent_path();
  for (const fs::path& folder : {here / "../share/drover/configs", here / "../../../configs"})
    if (fs::is_directory(folder / "mappings", failed)) return fs::canonical(folder).string();
  return DROVER_CONFIGS_DIR;
}

int complain(const Error& error, ExitCode code) {
  std::fprintf(stderr, "drover smoke: %s\n", error.message().c_str());
  return code;
}

class Run {
 public:
  Run(Options options, WorkFolder work)
      : options_(std::move(options)),
        work_(std::move(work)),
        log_(std::make_shared<EventLog>(options_.report + "/events.log", options_.verbose)) {}

  int run() {
    if (const Status planned = plan(); !planned) return complain(planned.error(), nodes::exit_start);
    live();
    break_on_purpose();
    finish();
    return tell();
  }

 private:
  Status plan() {
    DROVER_ASSIGN(const auto mappings, capture::load_mappings(options_.configs + "/mappings"));
    std::string folder = options_.logs;
    if (folder.empty()) {
      folder = work_.path() + "/generated-logs";
      DROVER_TRY(generate_into(folder, options_.seed, options_.episodes));
    }
    DROVER_ASSIGN(inputs_, plan_inputs(folder, mappings, robots_));
    inputs_.generated = options_.logs.empty();
    source_ = inputs_.generated
                  ? "3 robots and a coordinator on logs that the run generated itself (synthetic, not of a real robot)"
                  : "3 robots and a coordinator on the logs in " + options_.logs;
    bodies_ = plan_bodies(options_.configs, options_.seed, options_.world_episodes);
    if (!bodies_.empty()) source_ += "; two of the robots act in a simulated world";
    auto account = bodies_;
    if (breaks("physics"))  // other conditions give other physics
      for (BodyPlan& body : account) body.set = body.set == "hard" ? "nominal" : "hard";
    runs_ = std::async(std::launch::async, run_plainly, account);
    return {};
  }

  void live() {
    Live::Mode mode = isatty(STDERR_FILENO) ? Live::Mode::terminal : Live::Mode::plain;
    if (options_.quiet || options_.json) mode = Live::Mode::quiet;
    uint64_t episodes = inputs_.episodes();
    for (const BodyPlan& body : bodies_) episodes += body.episodes;
    Live live(mode, inputs_.files.size(), episodes);
    Fleet fleet({work_.path(), options_.configs, options_.seed, robots_, bodies_, EventLog::sink(log_)});
    const Status driven = drive(fleet, inputs_, {options_.deadline_s, &interrupted}, live, course_);
    if (!driven) trouble_ = driven.error().what;
    const Status stopped = fleet.stop(10'000);
    if (!stopped && trouble_.empty()) trouble_ = stopped.error().what;
    for (size_t i = 0; i < robots_.size(); ++i) robot_stores_.push_back(fleet.store_of(i));
    central_store_ = fleet.central_store();
  }

  // For tests only: proves that a broken promise is noticed. DROVER_SMOKE_BREAK=drop loses one applied datapack,
  // physics compares the episodes with those of other conditions.
  static bool breaks(const std::string& how) {
    const char* wanted = std::getenv("DROVER_SMOKE_BREAK");
    return wanted != nullptr && how == wanted;
  }

  void break_on_purpose() {
    if (!breaks("drop")) return;
    std::fprintf(stderr, "drover smoke: DROVER_SMOKE_BREAK=drop: erasing one datapack before the checks\n");
    if (const Status dropped = drop_one_pack(central_store_); !dropped) complain(dropped.error(), nodes::exit_failed);
  }

  void finish() {
    const auto runs = runs_.get();
    const Findings findings =
        check({inputs_, bodies_, runs, course_, robots_, robot_stores_, central_store_, log_->errors(),
               log_->first_error(), trouble_.empty(), trouble_, options_.configs + "/semantics/vocabulary.toml"});
    const double wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    report_ = make_report({inputs_, course_, findings, robots_, source_, options_.seed, wall_s});
  }

  int tell() {
    std::fputs((options_.json ? to_json(report_) : to_text(report_)).c_str(), stdout);
    std::fflush(stdout);
    if (const Status written = write_report(report_, options_.report); !written)
      return complain(written.error(), nodes::exit_failed);
    const std::string page = fs::absolute(options_.report + "/index.html").lexically_normal().string();
    std::fprintf(stderr, "\n%s in %.1f s; report: %s\n",
                 report_.passed() ? "every invariant held" : "AN INVARIANT WAS BROKEN", report_.wall_s, page.c_str());
    if (options_.keep) std::fprintf(stderr, "stores kept in %s\n", work_.path().c_str());
    if (interrupted) return nodes::exit_interrupted;
    return report_.passed() ? nodes::exit_ok : nodes::exit_failed;
  }

  Options options_;
  WorkFolder work_;
  std::shared_ptr<EventLog> log_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  const std::vector<std::string> robots_{"robot-a", "robot-b", "robot-c"};
  std::vector<BodyPlan> bodies_;
  std::future<Result<std::vector<ExpectedRun>>> runs_;
  Inputs inputs_;
  std::string source_;
  Course course_;
  std::string trouble_;
  std::vector<std::string> robot_stores_;
  std::string central_store_;
  Report report_;
};

void add_options(CLI::App& app, Options& options) {
  app.footer(lesson);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--logs", options.logs, "Folder with robot logs (default: makes up its own)")->type_name("DIR");
  app.add_option("--report", options.report, "Where the report goes")->type_name("DIR")->capture_default_str();
  app.add_option("--episodes", options.episodes, "Episodes per generated log")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_option("--world-episodes", options.world_episodes, "Physics episodes of each robot that has a body; 0: none")
      ->check(CLI::Range(0, 10'000))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Root of every random choice")->capture_default_str();
  app.add_option("--deadline", options.deadline_s, "Seconds until everything must have drained")
      ->check(CLI::Range(0.01, 86'400.0))
      ->capture_default_str();
  app.add_option("--work", options.work, "Folder for stores and spools (default: a temporary one)")->type_name("DIR");
  app.add_option("--configs", options.configs, "Folder with mappings, econ and baselines")->type_name("DIR");
  app.add_flag("--keep", options.keep, "Do not delete the work folder");
  app.add_flag("--json", options.json, "Print the report as JSON instead of tables");
  app.add_flag("--quiet", options.quiet, "No live table");
  app.add_flag("--verbose", options.verbose, "Print every log event as well");
}

int smoke_main(int argc, char** argv) {
  Options options;
  CLI::App app(about, "drover smoke");
  add_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? nodes::exit_ok : nodes::exit_usage;
  }
  if (options.configs.empty()) options.configs = find_configs();
  if (!fs::is_directory(options.configs + "/mappings"))
    return complain({Errc::not_found, options.configs, "holds no mappings; name the folder with --configs"},
                    nodes::exit_config);
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = true; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // a second one ends the process
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::error_code failed;
  fs::create_directories(options.report, failed);
  if (failed) return complain({Errc::io, options.report, failed.message()}, nodes::exit_start);
  auto work = WorkFolder::make(options);
  if (!work) return complain(work.error(), nodes::exit_start);
  return Run(options, std::move(*work)).run();
}

}  // namespace
}  // namespace drover::smoke

int main(int argc, char** argv) {
  try {
    return drover::smoke::smoke_main(argc, argv);
  } catch (const std::exception& error) {  // only our own bugs and lack of memory come this far
    std::fprintf(stderr, "drover smoke: internal error: %s\n", error.what());
    return drover::nodes::exit_failed;
  }
}
