// Pure logic of the network: names and roles, limits, caps, backoff, log throttle, errors on the wire.
#include <doctest/doctest.h>

#include "actors/network/backoff.hpp"
#include "actors/network/connection_caps.hpp"
#include "actors/network/limits.hpp"
#include "actors/network/log_throttle.hpp"
#include "actors/network/peer_name.hpp"
#include "actors/network/remote_error.hpp"

namespace drover::network {

TEST_CASE("network/peer_name: role and node id come from role/node-id and nothing else") {
  const auto name = parse_common_name("robot/robot-07");
  REQUIRE(name.has_value());
  CHECK(name->role == Role::robot);
  CHECK(name->node_id == "robot-07");
  CHECK(name->text() == "robot/robot-07");
  CHECK(parse_common_name("operator/ada")->role == Role::operator_);
  for (const std::string bad : {"", "robot", "robot/", "/x", "king/robot-07", "unknown/x", "robot/Robot", "robot/a b",
                                "robot/../etc", "Robot/x"})
    CHECK_FALSE(parse_common_name(bad).has_value());
  CHECK_FALSE(parse_common_name(std::string("robot/a\0b", 9)).has_value());
  CHECK(parse_common_name("robot/" + std::string(64, 'a')).has_value());
  CHECK_FALSE(parse_common_name("robot/" + std::string(65, 'a')).has_value());
  CHECK(parse_common_name("\x1b[31mred\n").error().message().find("\\x1b[31mred\\x0a") != std::string::npos);
}

TEST_CASE("network/peer_name: who may call what") {
  using C = SessionCall;
  const auto allowed = [](Role role) {
    std::string out;
    for (const C call : {C::append, C::wants, C::chunk, C::knowledge, C::ping, C::query})
      if (may_call(role, call)) out += std::string(session_call_name(call)) + " ";
    return out;
  };
  CHECK(allowed(Role::robot) == "append wants chunk knowledge ping ");
  CHECK(allowed(Role::gateway) == "append wants chunk knowledge ping ");
  CHECK(allowed(Role::trainer) == "knowledge ping query ");
  CHECK(allowed(Role::operator_) == "ping query ");
  CHECK(allowed(Role::coordinator).empty());
  CHECK(allowed(Role::unknown).empty());
}

TEST_CASE("network/limits: defaults are valid and all problems are reported at once") {
  CHECK(validate(Limits{}).empty());
  Limits bad;
  bad.nesting_max = 1;
  bad.backoff_min_ms = 20'000;
  bad.idle_timeout_ms = 1;
  const auto problems = validate(bad);
  REQUIRE(problems.size() == 3);
  CHECK(problems[0] == "nesting_max: 1 is outside 8 .. 64");
}

TEST_CASE("network/caps: address caps bind before totals, and places come back") {
  Limits limits;
  limits.greetings_per_address_max = 2;
  limits.greetings_max = 3;
  limits.connections_per_address_max = 3;
  limits.connections_max = 4;
  ConnectionCaps caps(limits);
  CHECK(caps.admit("a").has_value());
  CHECK(caps.admit("a").has_value());
  CHECK(caps.admit("a").error().what == "over greetings_per_address_max = 2");
  CHECK(caps.admit("b").has_value());
  CHECK(caps.admit("c").error().what == "over greetings_max = 3");
  caps.greeted("a");
  CHECK(caps.admit("a").has_value());
  caps.greeted("a");
  CHECK(caps.admit("a").error().what == "over connections_per_address_max = 3");
  caps.greeted("b");
  CHECK(caps.admit("c").error().what == "over connections_max = 4");
  caps.release("a", true);
  caps.release("a", true);
  caps.release("a", false);
  caps.release("b", true);
  CHECK(caps.total() == 0);
  CHECK(caps.greeting() == 0);
  CHECK(caps.addresses() == 0);
}

TEST_CASE("network/backoff: doubles to its cap, jitters in the upper half, same seed same pauses") {
  Backoff a(100, 5'000, runtime::Rng(7)), b(100, 5'000, runtime::Rng(7));
  uint32_t ceiling = 100;
  bool varied = false;
  for (int i = 0; i < 50; ++i) {
    const uint32_t pause = a.next_ms();
    CHECK(pause == b.next_ms());
    CHECK(pause >= ceiling / 2);
    CHECK(pause <= ceiling);
    varied = varied || pause != ceiling;
    ceiling = std::min(ceiling * 2, 5'000u);
  }
  CHECK(varied);
  a.reset();
  CHECK(a.next_ms() <= 100);
}

TEST_CASE("network/log_throttle: once, then silence with a count, and a bounded table") {
  LogThrottle throttle(1'000, 3);
  CHECK(throttle.should_log("a", 0) == 0);
  for (int i = 1; i < 1'000; ++i) CHECK_FALSE(throttle.should_log("a", i).has_value());
  CHECK(throttle.should_log("b", 500) == 0);
  CHECK(throttle.should_log("a", 1'000) == 999);
  CHECK_FALSE(throttle.should_log("a", 1'500).has_value());
  for (int i = 0; i < 1'000; ++i) throttle.should_log("k" + std::to_string(i), 2'000);
  CHECK(throttle.keys() == 3);
}

TEST_CASE("network/remote_error: an error crosses the wire with code, place and text; hostile text stays printable") {
  for (const Errc code : {Errc::refused, Errc::overloaded, Errc::conflict, Errc::internal, Errc::invalid_argument}) {
    const Error error{code, "journal/block@812", "seq 7: other content"};
    const Error back = from_wire("remote exception: " + to_wire(error), Errc::io, "elsewhere");
    CHECK(back.message() == error.message());
  }
  const Error foreign = from_wire("Peer disconnected.\n\x1b[2J", Errc::unavailable, "uplink");
  CHECK(foreign.code == Errc::unavailable);
  CHECK(foreign.message() == "unavailable: uplink: Peer disconnected.\\x0a\\x1b[2J");
  CHECK(from_wire("[drover nonsense] a: b", Errc::io, "x").code == Errc::io);
  CHECK(from_wire("[drover refused", Errc::io, "x").code == Errc::io);
  CHECK(from_wire(std::string(100'000, 'z'), Errc::io, "x").what.size() < 400);
}

}  // namespace drover::network
