// Armed: switches seeded bugs and rare events on for as long as it lives (messages/buggify.hpp). The only place that
// does; it is linked into testers alone. One thread; the innermost one counts.
#pragma once

#include "actors/runtime/rng.hpp"
#include "messages/buggify.hpp"

namespace drover::simulate {

struct Arming {
  uint64_t seed = 1;
  buggify::Bug bug = buggify::Bug::none;
  bool sites = false;  // draws which sites are active: each with a chance of 25 %
  bool poison = false;
};

class Armed {
 public:
  explicit Armed(const Arming& arming) {
    auto rng = runtime::Rng::stream(arming.seed, "buggify");
    switches_.bug = arming.bug;
    switches_.sites_on = arming.sites;
    switches_.poison = arming.poison;
    for (bool& active : switches_.active) active = rng.chance(0.25);
    switches_.state = rng.next();
#ifndef DROVER_NO_TEST_SWITCHES
    before_ = buggify::detail::armed.exchange(&switches_);
#endif
  }
  ~Armed() {
#ifndef DROVER_NO_TEST_SWITCHES
    buggify::detail::armed.store(before_);
#endif
  }
  Armed(const Armed&) = delete;
  Armed& operator=(const Armed&) = delete;
  const buggify::Switches& switches() const {
    return switches_;
  }

 private:
  buggify::Switches switches_;
  buggify::Switches* before_ = nullptr;
};

}  // namespace drover::simulate
