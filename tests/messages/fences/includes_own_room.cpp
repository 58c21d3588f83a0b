// Positive control: what a room may use compiles with the same flags.
#include "messages/datapack.hpp"
#include "messages/record.hpp"

int main() {
  return drover::Datapack().skill_trace.empty() ? 0 : 1;
}
