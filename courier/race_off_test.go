
package courier_test

const raced = false
