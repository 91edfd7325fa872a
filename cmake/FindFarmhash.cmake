# Finds FarmHash, whose fingerprints of texts layers use, and defines Farmhash::Farmhash.
#
#   Farmhash_ROOT                               where to look first
#   Farmhash_INCLUDE_DIR, Farmhash_LIBRARY      the folder of farmhash.h, the library itself

find_path(Farmhash_INCLUDE_DIR farmhash.h)
find_library(Farmhash_LIBRARY NAMES farmhash)
mark_as_advanced(Farmhash_INCLUDE_DIR Farmhash_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Farmhash REQUIRED_VARS Farmhash_LIBRARY Farmhash_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "Debian's package is libfarmhash-dev. Elsewhere, set Farmhash_ROOT.")

if(Farmhash_FOUND AND NOT TARGET Farmhash::Farmhash)
  add_library(Farmhash::Farmhash UNKNOWN IMPORTED)
  set_target_properties(Farmhash::Farmhash PROPERTIES IMPORTED_LOCATION ${Farmhash_LIBRARY}
                        INTERFACE_INCLUDE_DIRECTORIES ${Farmhash_INCLUDE_DIR})
endif()
