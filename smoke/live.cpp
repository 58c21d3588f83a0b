#include "smoke/live.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace drover::smoke {
namespace {

template <class Get>
uint64_t sum(const FleetView& view, Get get) {
  uint64_t total = 0;
  for (const RobotView& robot : view.robots) total += get(robot);
  return total;
}

constexpr const char* header =
    "  time    files  episodes  records     acked   applied  datapacks  chunks  backlog  robots  links\n";

}  // namespace

uint64_t FleetView::last_seq() const {
  return sum(*this, [](const RobotView& r) { return r.last_seq; });
}
uint64_t FleetView::acked_seq() const {
  return sum(*this, [](const RobotView& r) { return r.acked_seq; });
}
uint64_t FleetView::applied_seq() const {
  return sum(*this, [](const RobotView& r) { return r.applied_seq; });
}

std::string Live::line(double t_s, const FleetView& view) const {
  const uint64_t files = sum(view, [](const RobotView& r) { return r.files; });
  const uint64_t up = sum(view, [](const RobotView& r) { return r.up ? 1u : 0u; });
  const uint64_t links = sum(view, [](const RobotView& r) { return r.up && r.link_up ? 1u : 0u; });
  const uint64_t last = view.last_seq(), applied = view.applied_seq();
  return fmt::format("{:5.1f}s {:>8} {:>9} {:>8} {:>9} {:>9} {:>10} {:>7} {:>8} {:>7} {:>6}", t_s,
                     fmt::format("{}/{}", files, files_), fmt::format("{}/{}", view.episodes, episodes_), last,
                     view.acked_seq(), applied, view.packs, view.chunks_held, last > applied ? last - applied : 0,
                     fmt::format("{}/{}", up, view.robots.size()), links);
}

void Live::clear_line() {
  if (mode_ == Mode::terminal && dirty_) std::fputs("\r\033[K", stderr);
  dirty_ = false;
}

void Live::show(double t_s, const FleetView& view) {
  if (mode_ == Mode::quiet || t_s < next_s_) return;
  next_s_ = t_s + (mode_ == Mode::terminal ? 0.1 : 1.0);
  if (!header_) std::fputs(header, stderr);
  header_ = true;
  if (mode_ == Mode::terminal) {
    clear_line();
    std::fputs(line(t_s, view).c_str(), stderr);
    dirty_ = true;
  } else {
    std::fputs((line(t_s, view) + "\n").c_str(), stderr);
  }
  std::fflush(stderr);
}

void Live::note(double t_s, const std::string& what) {
  if (mode_ == Mode::quiet) return;
  clear_line();
  std::fprintf(stderr, "%5.1fs * %s\n", t_s, what.c_str());
}

void Live::end() {
  if (mode_ == Mode::terminal && dirty_) std::fputs("\n", stderr);
  dirty_ = false;
}

}  // namespace drover::smoke
