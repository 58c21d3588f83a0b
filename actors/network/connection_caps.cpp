#include "actors/network/connection_caps.hpp"

#include "messages/check.hpp"

namespace drover::network {

Status ConnectionCaps::admit(const std::string& address) {
  const auto over = [&](const char* cap, uint32_t value) {
    return fail(Errc::overloaded, address, std::string("over ") + cap + " = " + std::to_string(value));
  };
  const auto found = by_address_.find(address);
  const Count count = found == by_address_.end() ? Count{} : found->second;
  if (count.greeting >= limits_.greetings_per_address_max)
    return over("greetings_per_address_max", limits_.greetings_per_address_max);
  if (count.total >= limits_.connections_per_address_max)
    return over("connections_per_address_max", limits_.connections_per_address_max);
  if (greeting_ >= limits_.greetings_max) return over("greetings_max", limits_.greetings_max);
  if (total_ >= limits_.connections_max) return over("connections_max", limits_.connections_max);
  by_address_[address] = {count.total + 1, count.greeting + 1};
  ++total_;
  ++greeting_;
  return {};
}

void ConnectionCaps::greeted(const std::string& address) {
  const auto found = by_address_.find(address);
  DROVER_CHECK(found != by_address_.end() && found->second.greeting > 0, "greeted without admit");
  --found->second.greeting;
  --greeting_;
}

void ConnectionCaps::release(const std::string& address, bool was_greeted) {
  const auto found = by_address_.find(address);
  DROVER_CHECK(found != by_address_.end() && found->second.total > 0, "release without admit");
  if (!was_greeted) {
    DROVER_CHECK(found->second.greeting > 0, "release of a greeting connection that is not counted");
    --found->second.greeting;
    --greeting_;
  }
  --total_;
  if (--found->second.total == 0) by_address_.erase(found);
}

}  // namespace drover::network
