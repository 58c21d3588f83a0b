// Context and Team: choice of instruction set, limits, and threads that really take part.
#include "kernels/context.hpp"

#include <atomic>
#include <set>
#include <thread>

#include "kernels/simd.hpp"
#include "kernels/team.hpp"
#include "tests/kernels/support.hpp"

using namespace drover;
using namespace drover::kernels;

TEST_CASE("kernels/context: the description names backend, threads and CUDA") {
  const auto context = test::context_of(Isa::portable, 2);
  const std::string line = context->description();
  CHECK(line.starts_with("kernels: cpu portable, 2 threads; "));
  CHECK(line.find("CUDA") != std::string::npos);
  CHECK(test::context_of(Isa::portable, 1)->description().starts_with("kernels: cpu portable, 1 thread; "));
  MESSAGE((*Context::make({}))->description());
}

TEST_CASE("kernels/context: the fastest usable instruction set is the default") {
  const auto isas = usable_isas();
  REQUIRE(!isas.empty());
  CHECK(isas.front() == Isa::portable);
  const auto context = Context::make({});
  REQUIRE(context);
  CHECK((*context)->isa() == isas.back());
  CHECK(std::string_view((*context)->ops().name) == isa_name(isas.back()));
  CHECK((*context)->threads() >= 1);
}

TEST_CASE("kernels/context: too many threads are refused") {
  const auto context = Context::make({.threads = 65, .isa = {}});
  REQUIRE(!context);
  CHECK(context.error().code == Errc::invalid_argument);
}

TEST_CASE("kernels/context: every instruction set divides the padding and is usable or refused") {
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    const auto context = Context::make({.threads = 1, .isa = isa});
    if (context) {
      CHECK(lane_pad % (*context)->ops().width == 0);
    } else {
      CHECK(context.error().code == Errc::unavailable);
    }
  }
}

TEST_CASE("kernels/team: all ranks run, again and again, with barriers between stages") {
  Team team(4);
  for (uint32_t round = 0; round < 200; ++round) {
    const uint32_t ranks = 1 + round % 4;
    std::vector<uint32_t> cells(ranks, 0);
    std::atomic<uint32_t> wrong{0};
    Barrier barrier(ranks);
    team.run(ranks, 0, [&](uint32_t rank) {
      for (uint32_t stage = 1; stage <= 5; ++stage) {
        cells[rank] = stage;
        barrier.wait();
        for (uint32_t cell : cells) wrong += cell != stage;
        barrier.wait();
      }
    });
    REQUIRE(wrong.load() == 0);
    for (uint32_t cell : cells) REQUIRE(cell == 5);
  }
}

TEST_CASE("kernels/team: ranks are different threads and callers take turns") {
  Team team(3);
  std::vector<std::thread::id> ids(3);
  team.run(3, 0, [&](uint32_t rank) { ids[rank] = std::this_thread::get_id(); });
  CHECK(std::set<std::thread::id>(ids.begin(), ids.end()).size() == 3);
  CHECK(ids[0] == std::this_thread::get_id());

  std::atomic<int> inside{0}, overlaps{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      for (int j = 0; j < 50; ++j) {
        team.run(2, 64, [&](uint32_t rank) {
          if (rank == 0) overlaps += inside.fetch_add(1) != 0;
          team.scratch()[rank] = static_cast<float>(rank);
          if (rank == 0) inside.fetch_sub(1);
        });
      }
    });
  }
  for (auto& caller : callers) caller.join();
  CHECK(overlaps.load() == 0);
}
