#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "actors/capture/spool.hpp"
#include "actors/runtime/clock.hpp"
#include "actors/runtime/credit.hpp"
#include "actors/runtime/quarantine.hpp"
#include "actors/runtime/supervision.hpp"
#include "stress/selftest/models.hpp"

namespace drover::simulate {
namespace {

using runtime::Decision;
using Kind = Decision::Kind;

// One child that fails again and again: so many restarts within the window, and one more ends the supervisor.
std::string check_intensity(runtime::Rng& rng) {
  runtime::SupervisionRules rules;
  rules.intensity.max_restarts = static_cast<uint32_t>(1 + rng.below(4));
  rules.intensity.window_ms = 1'000;
  rules.backoff.delay_min_ms = 0;
  runtime::Supervision supervisor(rules, {{.name = "child"}}, runtime::Rng::stream(rng.next(), "jitter"));
  int64_t now_ms = 0;
  std::vector<int64_t> restarts_ms;
  (void)supervisor.start(now_ms);
  (void)supervisor.started(0, now_ms);
  for (int i = 0; i < 40; ++i) {
    now_ms += rng.between(0, 600);
    const auto decisions = supervisor.exited(0, runtime::ExitKind::abnormal, "model", now_ms);
    restarts_ms.push_back(now_ms);
    std::erase_if(restarts_ms, [&](int64_t at) { return now_ms - at > rules.intensity.window_ms; });
    const bool too_many = restarts_ms.size() > rules.intensity.max_restarts;
    const bool gave_up = std::ranges::any_of(decisions, [](const Decision& d) { return d.kind == Kind::gave_up; });
    if (gave_up != too_many)
      return "supervision: " + std::to_string(restarts_ms.size()) + " failures within the window, " +
             std::to_string(rules.intensity.max_restarts) + " are accepted, and it " +
             (gave_up ? "gave up" : "went on");
    if (gave_up) return {};
    (void)supervisor.started(0, now_ms);
  }
  return {};
}

// rest_for_one: those after the child stop, the last first; then they start again, in order.
std::string check_group(runtime::Rng& rng) {
  const size_t n = 3 + rng.below(3);
  std::vector<runtime::ChildSpec> specs;
  for (size_t i = 0; i < n; ++i) specs.push_back({.name = "child-" + std::to_string(i)});
  runtime::SupervisionRules rules;
  rules.strategy = runtime::Strategy::rest_for_one;
  rules.backoff.delay_min_ms = 0;
  runtime::Supervision supervisor(rules, specs, runtime::Rng::stream(rng.next(), "jitter"));
  auto decisions = supervisor.start(0);
  for (size_t i = 0; i < n; ++i) decisions = supervisor.started(i, 0);
  const size_t failed = rng.below(n);
  std::vector<size_t> stopped, started;
  decisions = supervisor.exited(failed, runtime::ExitKind::abnormal, "model", 10);
  for (int i = 0; i < 100; ++i) {
    std::optional<Decision> next;
    for (const Decision& d : decisions)
      if (d.kind == Kind::stop || d.kind == Kind::start) next = d;
    if (!next) break;
    (next->kind == Kind::stop ? stopped : started).push_back(next->child);
    decisions = next->kind == Kind::stop ? supervisor.exited(next->child, runtime::ExitKind::normal, "asked to", 10)
                                         : supervisor.started(next->child, 10);
  }
  std::vector<size_t> stops, starts;
  for (size_t i = n; i-- > failed + 1;) stops.push_back(i);
  for (size_t i = failed; i < n; ++i) starts.push_back(i);
  if (stopped != stops || started != starts) return "supervision: rest_for_one restarted others than those after";
  return {};
}

std::string check_credit(runtime::Rng& rng) {
  const runtime::Credit capacity{4 + rng.below(8), 4'000};
  runtime::CreditedInbox<int> inbox(capacity);
  runtime::CreditWindow window(inbox.share(1));
  for (int i = 0; i < 200; ++i) {
    const uint64_t bytes = 1 + rng.below(900);
    if (rng.chance(0.6) && window.consume(bytes)) {
      if (const Status taken = inbox.push(int{i}, bytes); !taken)
        return "credit: an item within its window was refused";
    } else if (auto item = inbox.pop()) {
      if (!window.release({1, item->second})) return "credit: what came back was not out";
    }
    if (rng.chance(0.1) && inbox.push(int{i}, capacity.bytes + 1)) return "credit: the inbox took more than it holds";
  }
  while (auto item = inbox.pop()) (void)window.release({1, item->second});
  if (!(window.available() == window.window())) return "credit: some of it never came back";
  return {};
}

std::string check_quarantine(runtime::Rng& rng) {
  const runtime::SystemClock clock;
  uint64_t told = 0;
  runtime::QuarantineRules rules;
  rules.deaths = static_cast<uint32_t>(1 + rng.below(4));
  runtime::Quarantine quarantine(rules, clock, [&](runtime::LogLevel, std::string_view) { ++told; });
  const Bytes poison = Bytes::copy_of(std::to_string(rng.next()));
  uint32_t deaths = 0;
  for (int i = 0; i < 10; ++i) {
    try {
      if (quarantine.process("model", poison, [] { throw 1; }) == runtime::Handling::diverted) break;
    } catch (int) {
      ++deaths;
    }
  }
  if (deaths != rules.deaths || told != 1)
    return "quarantine: a message killed " + std::to_string(deaths) + " times, " + std::to_string(rules.deaths) +
           " are accepted";
  return {};
}

// A folder into which files are copied slowly. What is taken must be whole, and taken once.
class SpoolModel {
 public:
  explicit SpoolModel(runtime::Rng& rng) : rng_(rng) {}

  std::string run() {
    for (int look = 0; look < 80 && failure_.empty(); ++look) {
      if (files_.size() < 6 && rng_.chance(0.2)) files_.push_back({"log-" + std::to_string(files_.size()), 0, 0});
      for (File& file : files_)
        if (file.size < full) file.size += 1 + rng_.below(30), file.mtime = look;
      if (rng_.chance(0.1)) restart();
      std::vector<capture::FileStat> listing;
      for (const File& f : files_) listing.push_back({f.name, f.size, f.mtime});
      spool_->poll(listing);
      while (failure_.empty())
        if (!take()) break;
    }
    return failure_;
  }

 private:
  struct File {
    std::string name;
    uint64_t size = 0;
    int64_t mtime = 0;
  };
  static constexpr uint64_t full = 100;

  void restart() {
    spool_ = std::make_unique<capture::Spool>(capture::SpoolConfig{});
    for (const auto& [key, mark] : kept_) spool_->restore(mark);
  }
  void keep(const capture::SpoolMark& mark) {
    kept_[mark_key(mark)] = mark;
    spool_->commit(mark);
  }

  bool take() {
    const auto file = spool_->next();
    if (!file) return false;
    const auto start = spool_->start(*file, sha256(as_bytes(file->name + std::to_string(file->size_bytes))));
    keep(start.mark);
    if (!start.take) return true;
    if (file->size_bytes < full) failure_ = "spool: " + file->name + " was taken before it was whole";
    if (!taken_.insert(file->name).second) failure_ = "spool: " + file->name + " was taken twice";
    keep(capture::Spool::finished(capture::Spool::advanced(start.mark, 1)));
    // Touched: the same content with another time.
    for (File& f : files_)
      if (f.name == file->name && rng_.chance(0.5)) ++f.mtime;
    return true;
  }

  runtime::Rng& rng_;
  std::unique_ptr<capture::Spool> spool_ = std::make_unique<capture::Spool>(capture::SpoolConfig{});
  std::map<std::string, capture::SpoolMark> kept_;
  std::vector<File> files_;
  std::set<std::string> taken_;
  std::string failure_;
};

}  // namespace

std::string check_runtime(uint64_t seed) {
  auto rng = runtime::Rng::stream(seed, "model of the runtime");
  for (const auto check : {check_intensity, check_group, check_credit, check_quarantine})
    if (std::string why = check(rng); !why.empty()) return why;
  return {};
}

std::string check_spool(uint64_t seed) {
  auto rng = runtime::Rng::stream(seed, "model of the spool");
  return SpoolModel(rng).run();
}

}  // namespace drover::simulate
