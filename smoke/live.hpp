// What one look at the fleet shows, and the line that a terminal shows of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace drover::smoke {

struct RobotView {
  bool up = false;  // its actors answered
  bool link_up = false;
  bool idle = false;   // capture has nothing to do
  uint64_t files = 0;  // logs settled, over all lives: captured, known already or set aside
  uint64_t files_repeated = 0;
  uint64_t files_set_aside = 0;
  // Of its body; all zero without one.
  double acting_s = 0;          // how far its running episode is, in its own time; 0: none runs
  bool body_rests = true;       // all its episodes have ended
  uint64_t episodes_begun = 0;  // over all lives
  uint64_t recordings = 0;      // settled, over all lives
  uint64_t recordings_set_aside = 0;
  uint64_t recordings_waiting = 0;  // in its folder, parts included
  std::string no_pictures;          // why its recordings have none

  uint64_t last_seq = 0;
  uint64_t acked_seq = 0;
  uint64_t applied_seq = 0;
  uint64_t chunks_wanted = 0;
  uint64_t blob_bytes = 0;
  uint64_t blob_backlog_bytes = 0;
  uint64_t links = 0;  // of this life
  uint64_t resent_blocks = 0;
  uint64_t journal_bytes_sent = 0;
  uint64_t blob_bytes_sent = 0;
  std::string alarm;
};

struct FleetView {
  std::vector<RobotView> robots;
  bool centre_up = false;
  bool caught_up = false;
  uint64_t episodes = 0;  // at the centre
  uint64_t packs = 0;
  uint64_t chunks_held = 0;
  uint64_t chunk_bytes = 0;
  uint64_t chunks_wanted = 0;
  uint64_t rejected = 0;

  uint64_t last_seq() const;
  uint64_t acked_seq() const;
  uint64_t applied_seq() const;
};

// One sample of the time line.
struct Moment {
  double t_s = 0;
  FleetView view;
};

// A fault or a milestone, for the pictures.
struct Mark {
  double t_s = 0;
  std::string what;
};

// Shows progress: one line rewritten in place on a terminal, a plain line each second elsewhere, nothing when quiet.
class Live {
 public:
  enum class Mode : uint8_t { terminal, plain, quiet };
  Live(Mode mode, uint64_t files, uint64_t episodes) : mode_(mode), files_(files), episodes_(episodes) {}
  void show(double t_s, const FleetView& view);
  void note(double t_s, const std::string& what);  // a line of its own
  void end();

 private:
  std::string line(double t_s, const FleetView& view) const;
  void clear_line();
  Mode mode_;
  uint64_t files_;
  uint64_t episodes_;
  double next_s_ = 0;
  bool header_ = false;
  bool dirty_ = false;
};

}  // namespace drover::smoke
