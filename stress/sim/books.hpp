// The books of a simulated coordinator, held against what they promise. Each call returns what is wrong in words, or
// nothing.
//
// At any moment: every currency sums to zero; each balance, the count and the digest follow from the journal; and what
// each account holds is what the predictions and outcomes that were written down make it, worked out here by another
// way than posting by posting. At rest: every datapack has its prediction, and books made anew from the inbox alone are
// the same, byte for byte.
#pragma once

#include <string>

#include "actors/econ/central_econ.hpp"

namespace drover::simulate {

std::string check_books(const econ::CentralEcon& books);

struct BooksAtRest {
  uint64_t datapacks = 0;   // central
  bool disks_lost = false;  // an outcome may name a datapack that went with its disk
  std::string folder;       // for the books that are made anew; removed again
};
std::string check_books_at_rest(econ::CentralEcon& books, sync::CentralStore& store, const BooksAtRest& rest);

}  // namespace drover::simulate
