// The blob lane: order, resume inside a chunk, and a byte budget that holds at every moment.
#include "actors/sync/blob_lane.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace drover;
using namespace drover::sync;

namespace {

BlobLane::Want want(uint8_t id, uint32_t size_bytes, uint64_t offset = 0) {
  BlobLane::Want w;
  w.hash[0] = std::byte{id};
  w.size_bytes = size_bytes;
  w.offset = offset;
  return w;
}

}  // namespace

TEST_CASE("sync/blob_lane: pieces go in the order wanted and resume at the offset the centre has") {
  BlobLane lane({.piece_bytes = 100, .pieces_max = 10, .budget_bytes_per_s = 1000000, .burst_bytes = 10000});
  lane.link_up(0);
  REQUIRE(lane.ask_wants(0));
  CHECK_FALSE(lane.ask_wants(0));
  lane.wants(0, {want(1, 250, 100), want(2, 50)});
  auto a = lane.next_piece(0);
  REQUIRE(a.has_value());
  CHECK(a->hash[0] == std::byte{1});
  CHECK(a->offset == 100);
  CHECK(a->bytes == 100);
  auto b = lane.next_piece(0);
  REQUIRE(b.has_value());
  CHECK(b->offset == 200);
  CHECK(b->bytes == 50);
  auto c = lane.next_piece(0);
  REQUIRE(c.has_value());
  CHECK(c->hash[0] == std::byte{2});
  CHECK_FALSE(lane.next_piece(0).has_value());
  CHECK_FALSE(lane.ask_wants(0));  // answers are still out
  CHECK_FALSE(lane.piece_done(*a, false));
  CHECK(lane.piece_done(*b, true));
  CHECK(lane.piece_done(*c, true));
  CHECK(lane.ask_wants(0));
}

TEST_CASE("sync/blob_lane: bytes sent never exceed burst + rate * time") {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 rng(seed);
    const uint64_t rate = 1000 + rng() % 100000;
    BlobLane lane({.piece_bytes = 512, .pieces_max = 4, .budget_bytes_per_s = rate, .burst_bytes = 2048});
    lane.link_up(0);
    int64_t now_ns = 0;
    for (int i = 0; i < 2000; ++i) {
      now_ns += static_cast<int64_t>(rng() % 20'000'000);
      if (lane.ask_wants(now_ns)) lane.wants(now_ns, {want(1, 3000), want(2, 700)});
      if (auto piece = lane.next_piece(now_ns)) lane.piece_done(*piece, false);
      const double allowed_bytes = 2048 + static_cast<double>(rate) * static_cast<double>(now_ns) * 1e-9 + 1;
      CHECK(static_cast<double>(lane.sent_bytes()) <= allowed_bytes);
    }
    CHECK(lane.sent_bytes() > 0);
  }
}

TEST_CASE("sync/blob_lane: an empty answer pauses, a failed piece skips its chunk, a cut forgets") {
  BlobLane lane({.piece_bytes = 100, .pieces_max = 1, .idle_ms = 1000});
  lane.link_up(0);
  REQUIRE(lane.ask_wants(0));
  lane.wants(0, {});
  CHECK_FALSE(lane.ask_wants(999'000'000));
  CHECK(lane.ask_wants(1'000'000'000));
  lane.wants(1'000'000'000, {want(1, 1000), want(2, 10)});
  auto piece = lane.next_piece(1'000'000'000);
  REQUIRE(piece.has_value());
  lane.piece_failed(*piece);
  piece = lane.next_piece(1'000'000'000);
  REQUIRE(piece.has_value());
  CHECK(piece->hash[0] == std::byte{2});
  lane.link_down();
  CHECK_FALSE(lane.next_piece(1'000'000'000).has_value());
  lane.piece_failed(*piece);  // late answers of a dead link change nothing
  lane.link_up(2'000'000'000);
  CHECK(lane.ask_wants(2'000'000'000));
}
