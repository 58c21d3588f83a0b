// Rollouts as text: nothing is lost on the way, and what does not fit is refused by name.
#include "actors/semantics/sima_text.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <sstream>

#include "actors/runtime/rng.hpp"
#include "actors/semantics/sima_template.hpp"

namespace drover::semantics {

TEST_CASE("semantics/sima: written and read back, every frame is the same to the bit") {
  TemplateLibrary library({});
  LabelledRollout r;
  for (size_t f = 0; f < family_count; ++f) {
    library.make(static_cast<Family>(f), 4, r);
    const std::string line = rollout_text(r);
    const auto back = parse_rollout(line);
    REQUIRE(back);
    REQUIRE(back->rollout.frames.size() == r.rollout.frames.size());
    CHECK(std::memcmp(back->rollout.frames.data(), r.rollout.frames.data(),
                      r.rollout.frames.size() * sizeof(RolloutFrame)) == 0);
    CHECK(back->rollout.embedding.values == r.rollout.embedding.values);
    CHECK(back->truth.segments.size() == r.truth.segments.size());
    const bool same = rollout_text(*back) == line;
    CHECK(same);
  }
}

TEST_CASE("semantics/sima: a replay goes on after a line that is none") {
  TemplateLibrary library({});
  LabelledRollout r;
  library.make(Family::drawer_open, 0, r);
  const std::string line = rollout_text(r);
  ReplayClient client(std::make_unique<std::stringstream>(line + "\n\n{\"format\":1}\n" + line + "\n"));
  CHECK(client.next().value().has_value());
  const auto bad = client.next();
  REQUIRE(!bad);
  CHECK(bad.error().message().find("line 3") != std::string::npos);
  CHECK(client.next().value().has_value());
  CHECK(!client.next().value().has_value());
}

TEST_CASE("semantics/sima: names that are no UTF-8 are written all the same") {
  LabelledRollout r;
  r.rollout.id = "a\xff\xfe\"b\n";
  const auto back = parse_rollout(rollout_text(r));
  REQUIRE(back);
  CHECK(back->rollout.frames.empty());
}

TEST_CASE("semantics/sima: damaged text is refused, never a crash") {
  TemplateLibrary library({});
  LabelledRollout r;
  library.make(Family::inspect_scene, 1, r);
  r.rollout.frames.resize(3);
  const std::string line = rollout_text(r);
  runtime::Rng rng(5);
  size_t refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = line;
    if (i % 2 == 0) damaged.resize(rng.below(damaged.size()));
    if (i % 2 == 1) damaged[rng.below(damaged.size())] = static_cast<char>(rng.next());
    refused += !parse_rollout(damaged);
  }
  CHECK(refused >= 1000);
  CHECK(!parse_rollout("[]"));
  CHECK(!parse_rollout(""));
}

}  // namespace drover::semantics
