// BlobLane: decides which piece of which chunk a robot sends next, within a byte budget per second.
// Pure logic: time is handed in.
//
// The centre says which chunks it lacks, most valuable per byte first, and how much of each it
// already has; the lane sends pieces in that order and resumes inside a chunk. It never sends more than
// pieces_max pieces unanswered and never more than the token bucket holds.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "messages/hash.hpp"

namespace drover::sync {

struct BlobLaneLimits {
  uint32_t piece_bytes = 64u << 10;         // size of one piece; small, so that control traffic gets in between
  uint32_t pieces_max = 8;                  // pieces sent and not yet answered
  uint64_t budget_bytes_per_s = 64u << 20;  // rate of the token bucket; 0: no blobs are sent
  uint64_t burst_bytes = 1u << 20;          // depth of the token bucket; at least one piece
  uint32_t wants_max = 64;                  // chunks asked for at a time
  uint64_t idle_ms = 1000;                  // pause after the centre wanted nothing
};

class BlobLane {
 public:
  explicit BlobLane(BlobLaneLimits limits) : limits_(limits), tokens_bytes_(limits.burst_bytes) {}

  struct Want {
    Hash hash{};
    uint64_t offset = 0;
    uint32_t size_bytes = 0;
  };
  struct Piece {
    Hash hash{};
    uint64_t offset = 0;
    uint32_t bytes = 0;
    uint32_t size_bytes = 0;
    uint64_t generation = 0;
  };

  void link_up(int64_t now_ns);
  void link_down();

  // True when the centre should be asked what it wants. Answer with wants() or wants_failed().
  bool ask_wants(int64_t now_ns);
  void wants(int64_t now_ns, const std::deque<Want>& list);
  void wants_failed(int64_t now_ns);

  // The next piece to read and send, or nothing (no wants, window full, or out of budget: see wait_ms).
  std::optional<Piece> next_piece(int64_t now_ns);
  // The piece was answered; true when its whole chunk is durable at the centre.
  bool piece_done(const Piece& piece, bool complete);
  // The piece could not be read here or was refused: the rest of its chunk is skipped until asked for again.
  void piece_failed(const Piece& piece);

  // Milliseconds until there is something to do; bounded by idle_ms.
  uint64_t wait_ms(int64_t now_ns) const;
  uint64_t sent_bytes() const noexcept { return sent_bytes_; }

 private:
  void refill(int64_t now_ns);

  BlobLaneLimits limits_;
  bool up_ = false;
  bool asking_ = false;
  int64_t ask_after_ns_ = 0;
  int64_t refilled_ns_ = 0;
  uint64_t tokens_bytes_;
  uint32_t pieces_in_flight_ = 0;
  uint64_t generation_ = 0;
  uint64_t sent_bytes_ = 0;
  std::deque<Want> wants_;
};

}  // namespace drover::sync
