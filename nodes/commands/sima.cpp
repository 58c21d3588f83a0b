// drover sima: make rollouts from templates, and replay recorded behaviour through segmentation and primitives.
#include <fstream>
#include <iostream>
#include <map>

#include "actors/capture/source.hpp"
#include "actors/semantics/log_frames.hpp"
#include "actors/semantics/primitive.hpp"
#include "actors/semantics/segment_score.hpp"
#include "actors/semantics/segmenter.hpp"
#include "actors/semantics/sima_template.hpp"
#include "actors/semantics/sima_text.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/commands/table.hpp"

namespace drover::nodes {
namespace {

using namespace semantics;

constexpr const char* name = "drover sima";

struct GenerateOptions {
  std::vector<std::string> families;
  uint64_t count = 20;
  TemplateConfig config;
  std::string out = "-";
};

struct ReplayOptions {
  std::vector<std::string> files;
  std::string mappings = "configs/mappings";
  std::string thresholds;
  bool primitives = false;
  bool summary = false;
};

// ---- generate

Result<std::vector<Family>> families_of(const std::vector<std::string>& names) {
  std::vector<Family> families;
  for (const std::string& text : names) {
    const auto family = family_from(text);
    if (!family || *family == Family::other) return fail(Errc::invalid_argument, "--family", "there is no " + text);
    families.push_back(*family);
  }
  for (size_t f = 0; names.empty() && f < family_count; ++f) families.push_back(static_cast<Family>(f));
  return families;
}

Status generate(const GenerateOptions& options) {
  DROVER_TRY(validate(options.config));
  DROVER_ASSIGN(const auto families, families_of(options.families));
  std::ofstream file;
  if (options.out != "-") {
    file.open(options.out, std::ios::binary | std::ios::trunc);
    if (!file) return fail(Errc::io, options.out, "cannot be written");
  }
  std::ostream& out = options.out == "-" ? std::cout : file;
  TemplateClient client(options.config, families, options.count);
  uint64_t rollouts = 0, frames = 0;
  std::map<std::string, uint64_t> kinds;
  while (true) {
    DROVER_ASSIGN(const auto rollout, client.next());
    if (!rollout) break;
    out << rollout_text(*rollout) << '\n';
    ++rollouts;
    frames += rollout->rollout.frames.size();
    ++kinds[std::string(template_name(rollout->truth.kind))];
  }
  out.flush();
  if (!out) return fail(Errc::io, options.out, "writing failed: disk full?");
  std::string shares;
  for (const auto& [kind, count] : kinds) shares += " " + kind + " " + std::to_string(count);
  std::cerr << name << ": " << rollouts << " rollouts, " << frames << " frames, seed " << options.config.seed << ":"
            << shares << "\n";
  return {};
}

// ---- replay

class Replayer {
 public:
  explicit Replayer(const ReplayOptions& options, const SegmenterConfig& config)
      : options_(options), segmenter_(config) {}

  Status file(const std::string& path);
  void finish() const;

 private:
  void take(const LabelledRollout& rollout);
  Status lines(const std::string& path);
  Status log(const std::string& path, const std::shared_ptr<const mcap::Source>& source);

  const ReplayOptions& options_;
  Segmenter segmenter_;
  SegmentScore score_;
  std::vector<Segment> segments_;
  uint64_t rollouts_ = 0, frames_ = 0, unread_ = 0;
  struct Sum {
    uint64_t count = 0, failed = 0, repaired = 0;
    double seconds = 0, energy_Wh = 0;
  };
  std::map<Label, Sum> sums_;
};

void Replayer::take(const LabelledRollout& labelled) {
  const Rollout& r = labelled.rollout;
  segment_rollout(segmenter_, r, segments_);
  ++rollouts_;
  frames_ += r.frames.size();
  if (!labelled.truth.segments.empty()) score_.add(labelled.truth.segments, segments_);
  for (const Segment& s : segments_) {
    Sum& sum = sums_[s.label];
    ++sum.count;
    sum.failed += s.outcome == semantics::Outcome::failure;
    sum.repaired += s.retry_of != no_segment;
    sum.seconds += s.end_s - s.start_s;
    sum.energy_Wh += static_cast<double>(s.metrics.energy_Wh);
  }
  if (options_.summary) return;
  std::cout << plain_text(r.id) << "  (" << plain_text(r.task_name) << ", " << rollout_source_name(r.source) << ", "
            << r.frames.size() << " frames, outcome " << plain_text(r.outcome) << ")\n";
  Table table({">#", ">from s", ">to s", "label", "outcome", "about", ">m", ">N", ">Wh", ">sure"});
  for (const Segment& s : segments_) {
    std::string outcome(outcome_name(s.outcome));
    if (s.reason != Reason::none) outcome.append(": ").append(reason_name(s.reason));
    if (s.retry_of != no_segment) outcome.append(" of #").append(std::to_string(s.retry_of));
    table.row({std::to_string(s.id), human_number(s.start_s, 2), human_number(s.end_s, 2),
               std::string(label_name(s.label)), outcome,
               s.object < r.objects.size() ? plain_text(r.objects[s.object].name) : "-",
               human_number(s.metrics.distance_m, 3), human_number(s.metrics.force_N_max, 1),
               human_number(s.metrics.energy_Wh, 4), human_number(s.confidence, 2)});
  }
  std::cout << table.text();
  if (options_.primitives)
    for (const Primitive& p : extract_primitives(r, segments_, {}))
      std::cout << "  " << primitive_type_name(p.type) << " " << plain_text(p.name)
                << (p.ambiguous ? " (ambiguous)" : "") << ": " << plain_text(p.description) << "\n";
  std::cout << "\n";
}

Status Replayer::lines(const std::string& path) {
  auto file = std::make_unique<std::ifstream>(path, std::ios::binary);
  if (!*file) return fail(Errc::not_found, path, "cannot be read");
  ReplayClient client(std::move(file));
  while (true) {
    const auto rollout = client.next();
    if (rollout && !*rollout) return {};
    if (rollout) {
      take(**rollout);
    } else if (rollout.error().code == Errc::io) {
      return tl::unexpected(rollout.error());
    } else {
      ++unread_;
      std::cerr << name << ": " << path << ": " << rollout.error().message() << "\n";
    }
  }
}

Status Replayer::log(const std::string& path, const std::shared_ptr<const mcap::Source>& source) {
  const std::string file = path.substr(path.rfind('/') + 1);
  DROVER_ASSIGN(const auto mappings, capture::load_mappings(options_.mappings));
  DROVER_ASSIGN(const auto mapping, capture::choose_mapping(file, source, mappings));
  capture::CaptureOptions capture_options;
  capture_options.robot = "replay";
  DROVER_ASSIGN(const auto episodes, capture::open_log(file, source, mappings, capture_options));
  while (true) {
    DROVER_ASSIGN(const auto episode, episodes->next());
    if (!episode) return {};
    DROVER_ASSIGN(Rollout rollout, rollout_from_log(*episode, *mapping));
    take({std::move(rollout), {}});
  }
}

Status Replayer::file(const std::string& path) {
  if (path.ends_with(".jsonl") || path == "/dev/stdin") return lines(path);
  DROVER_ASSIGN(const auto source, mcap::file_source(path));
  if (!capture::is_recording(*source)) return log(path, source);
  DROVER_ASSIGN(Rollout rollout, rollout_from_recording(source));
  take({std::move(rollout), {}});
  return {};
}

void Replayer::finish() const {
  Table table({"label", ">segments", ">failed", ">repairs", ">seconds", ">Wh"});
  for (const auto& [label, sum] : sums_)
    table.row({std::string(label_name(label)), human_count(sum.count), human_count(sum.failed),
               human_count(sum.repaired), human_number(sum.seconds, 1), human_number(sum.energy_Wh, 3)});
  std::cout << human_count(rollouts_) << " rollouts, " << human_count(frames_) << " frames\n" << table.text();
  if (score_.streams() > 0)
    std::cout << "against the truth of " << score_.streams() << ": boundary F1 "
              << human_number(score_.boundary_f1(), 4) << " (within 100 ms), labels "
              << human_number(score_.label_accuracy(), 4) << " of the time\n";
  if (unread_ > 0) std::cout << human_count(unread_) << " lines could not be read\n";
}

Result<SegmenterConfig> thresholds(const std::string& path) {
  if (path.empty()) return SegmenterConfig{};
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Errc::not_found, path, "cannot be read");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return parse_segmenter_config(text, path);
}

Status replay(const ReplayOptions& options) {
  DROVER_ASSIGN(const SegmenterConfig config, thresholds(options.thresholds));
  Replayer replayer(options, config);
  for (const std::string& path : options.files) DROVER_TRY(replayer.file(path));
  replayer.finish();
  return {};
}

}  // namespace

int sima_command(const Arguments& arguments) {
  CLI::App app("Make rollouts from templates; replay recorded behaviour as segments and primitives", name);
  app.require_subcommand(1);
  app.footer(
      "Examples\n"
      "  drover sima generate --family drawer_open --count 100 --seed 7 --out drawers.jsonl\n"
      "  drover sima replay drawers.jsonl --summary\n"
      "  drover sima replay recording.mcap --primitives\n"
      "  drover sima replay robot_log.csv");
  GenerateOptions made;
  CLI::App* generating = app.add_subcommand("generate", "Write rollouts with their truth, one JSON object per line");
  generating->add_option("--family", made.families, "Task families; without it all eight")->delimiter(',');
  generating->add_option("--count", made.count, "Rollouts of each family")->capture_default_str();
  generating->add_option("--seed", made.config.seed, "The same seed gives the same bytes")->capture_default_str();
  generating->add_option("--rate", made.config.rate_hz, "Frames per second, 10..1000")->capture_default_str();
  generating->add_option("--noise", made.config.noise, "Factor on the sensors' noise, 0..10")->capture_default_str();
  generating->add_option("--ood", made.config.out_of_distribution_share, "Share out of distribution, 0..1")
      ->capture_default_str();
  generating->add_option("--out", made.out, "File; - is standard output")->capture_default_str();
  ReplayOptions replayed;
  CLI::App* replaying = app.add_subcommand("replay", "Segment rollouts (.jsonl), recordings (.mcap) or CSV logs");
  replaying->add_option("files", replayed.files, "Files")->required();
  replaying->add_option("--mappings", replayed.mappings, "Folder of the log mappings")->capture_default_str();
  replaying->add_option("--thresholds", replayed.thresholds, "segmentation.toml; without it the defaults");
  replaying->add_flag("--primitives", replayed.primitives, "Print the primitive of each segment");
  replaying->add_flag("--summary", replayed.summary, "Print the sums only");
  if (const auto code = parse_arguments(app, arguments)) return *code;
  const Status done = generating->parsed() ? generate(made) : replay(replayed);
  return done ? exit_ok : report_failure(name, done.error());
}

}  // namespace drover::nodes
