# The build id is the same for the same sources and settings, and another if a byte of a source, its name, or a
# setting changes.
set(work ${WORK}/build_id_test)
file(REMOVE_RECURSE ${work})
set(ids "")

function(add_id settings)
  execute_process(COMMAND ${CMAKE_COMMAND} -DSOURCE=${work} -DOUTPUT=${work}/id.cpp -DSETTINGS=${settings}
                          -P ${SCRIPT} COMMAND_ERROR_IS_FATAL ANY)
  file(STRINGS ${work}/id.cpp id REGEX build_id)
  set(ids ${ids} ${id} PARENT_SCOPE)
endfunction()

file(WRITE ${work}/codegen/ops/a.cpp "int a;")
file(WRITE ${work}/graph/include/b.h "int b;")
add_id(release)
add_id(release)
add_id(debug)
file(WRITE ${work}/codegen/ops/a.cpp "int c;")
add_id(release)
file(WRITE ${work}/graph/include/b.h "int c;")
add_id(release)
file(RENAME ${work}/graph/include/b.h ${work}/graph/include/c.h)
add_id(release)
file(WRITE ${work}/runtime/d.cpp "")
add_id(release)

list(LENGTH ids all)
list(REMOVE_DUPLICATES ids)
list(LENGTH ids different)
if(NOT all EQUAL 7 OR NOT different EQUAL 6)
  message(FATAL_ERROR "of ${all} ids ${different} differ instead of 6: ${ids}")
endif()
